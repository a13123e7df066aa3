"""Which lines a revision of git has not: those that a change has added or altered."""

from __future__ import annotations

import os
import re
import subprocess

HUNK = re.compile(r"^@@ -\S+ \+(\d+)(?:,(\d+))? @@")


class RevisionError(ValueError):
    """A revision that cannot be compared with; the message is one line."""


def changed_lines(revision: str, folder: str = ".") -> dict[str, set[int]]:
    """{real path: lines} of what the files on disk have and the revision has not; untracked files count."""
    top = git(folder, "rev-parse", "--show-toplevel").strip()
    diff = git(top, "diff", "--unified=0", "--no-color", "--no-ext-diff", "--no-prefix", revision, "--")
    found: dict[str, set[int]] = {}
    path = ""
    for line in diff.splitlines():
        if line.startswith("+++ "):
            path = os.path.realpath(os.path.join(top, line[4:].strip('"')))
        elif match := HUNK.match(line):
            first, count = int(match[1]), int(match[2] or 1)
            found.setdefault(path, set()).update(range(first, first + count))
    for name in git(top, "ls-files", "--others", "--exclude-standard").splitlines():
        found[os.path.realpath(os.path.join(top, name))] = ALL_LINES
    return found


class AllLines(set[int]):
    """Contains every line."""

    def __contains__(self, line: object) -> bool:
        return True


ALL_LINES = AllLines()


def git(folder: str, *words: str) -> str:
    try:
        done = subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, check=False)
    except OSError as error:
        raise RevisionError(f"git cannot be run: {error.strerror}") from None
    if done.returncode:
        reason = done.stderr.strip().splitlines()
        raise RevisionError(f"git {words[0]} failed: {reason[0] if reason else done.returncode}")
    return done.stdout
