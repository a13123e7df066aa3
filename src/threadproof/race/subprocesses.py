"""Follows the Python programs that subprocess starts: each runs under the detector, as its parent does.

The interpreter is started with the same options, but with `-m FOLLOWER FOLDER` before the program: the
command's module that runs it, and where children leave their findings. It is done where subprocess calls
C, so neither the program nor Popen.args shows it. Not followed: a shell, another interpreter, os.exec*()
and os.spawn*(), and interpreters without a program or with options that leave out installed packages.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

# The interpreter's options that take no value, and leave installed packages.
ALONE = frozenset("bBdEIOPqRsuv")
VALUED = ("-X", "-W", "--check-hash-based-pycs")


class Subprocesses(NamedTuple):
    """Replaces the function that starts programs; `install()` is called once subprocess is imported."""

    folder: str
    follower: str
    module: str = "subprocess"

    def install(self) -> None:
        owner: Any = sys.modules[self.module]
        start = owner._fork_exec

        def fork_exec(args: Sequence[Any], executables: Sequence[bytes], *rest: Any) -> int:
            if os.path.isdir(self.folder) and is_this_interpreter(executables):
                args = followed(args, [self.follower, self.folder], os.fsdecode(rest[2] or ""), rest[3])
            pid: int = start(args, executables, *rest)
            return pid

        owner._fork_exec = fork_exec
        owner._USE_POSIX_SPAWN = False  # subprocess documents this: then it uses the function above


def is_this_interpreter(executables: Sequence[bytes]) -> bool:
    """Whether the first of these files that exists is the interpreter, of the same environment."""
    found = next((os.fsdecode(each) for each in executables if os.path.exists(each)), "")
    here = os.path.dirname(found) == os.path.dirname(sys.executable)
    return here and os.path.realpath(found) == os.path.realpath(sys.executable)


def followed(
    args: Sequence[Any], by: Sequence[str], cwd: str, environment: Sequence[bytes] | None
) -> Sequence[Any]:
    """The arguments with the follower before the program; as they are if it cannot run."""
    words = [os.fsdecode(each) for each in args]
    begin = program_in(words)
    if begin is None or not is_program(words[begin:], cwd):
        return args
    if not is_importable(words[1:begin], environment):
        return args
    return [*words[:begin], "-m", *by, *words[begin:]]


def program_in(words: Sequence[str]) -> int | None:
    """The index of -m, -c or the script; None if there is none, or an option that is not known here."""
    index = 1
    while index < len(words):
        word = words[index]
        if word in ("-m", "-c") or not word.startswith("-"):
            return index
        if word.startswith(VALUED):
            index += 2 if word in VALUED else 1
        elif word != "-" and set(word[1:]) <= ALONE:
            index += 1
        else:
            return None
    return None


def is_program(words: Sequence[str], cwd: str) -> bool:
    """Whether the interpreter could run it: if it cannot, it says so better than the follower."""
    if words[0] in ("-m", "-c"):
        return len(words) > 1 and not words[1].startswith("-")
    return os.path.exists(os.path.join(cwd, words[0]))


def is_importable(options: Sequence[str], environment: Sequence[bytes] | None) -> bool:
    """Whether the child finds this package: by PYTHONPATH if this process has found it so."""
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    path = os.environ.get("PYTHONPATH", "")
    if root not in map(os.path.abspath, filter(None, path.split(os.pathsep))):
        return True
    ignored = any(set("EI") & set(word[1:]) for word in options if not word.startswith(VALUED))
    return not ignored and (environment is None or os.fsencode(f"PYTHONPATH={path}") in environment)
