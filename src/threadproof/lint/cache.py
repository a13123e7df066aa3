"""What is remembered between runs: the facts of each file, and the reports of the whole run.

Both are found by a hash of everything that they depend on: the content of the files, their names, the rules,
the version of Python and that of threadproof. There is nothing to invalidate; what is not asked for any more
is dropped at the next save.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import threadproof.lint

FORMAT = 1  # raised when what is stored changes in a way that the hash of the linter's sources does not show


def key_of(parts: Iterable[bytes | str]) -> str:
    made = hashlib.blake2b(digest_size=16)
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        made.update(len(data).to_bytes(8, "little"))
        made.update(data)
    return made.hexdigest()


def linter_key() -> str:
    """Changes with every change of the linter itself: the names, sizes and times of its files."""
    folder = Path(threadproof.lint.__file__).parent
    files = sorted(folder.rglob("*.py"))
    states = [(path.name, path.stat()) for path in files]
    listed = "".join(f"{name} {state.st_size} {state.st_mtime_ns}\n" for name, state in states)
    return key_of([listed, sys.version, str(FORMAT)])


class Cache:
    """One folder with two files: `facts` by file, `runs` by run. Without a folder nothing is stored."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.facts: dict[str, bytes] | None = None
        self.used: dict[str, bytes] = {}

    def run(self, key: str) -> Any:
        """What a run with this key has returned; None if it is not known."""
        return self.load("runs").get(key)

    def save_run(self, key: str, result: Any) -> None:
        self.save("runs", {key: result})

    def get(self, key: str) -> bytes | None:
        if self.facts is None:
            self.facts = self.load("facts")
        return self.facts.get(key)

    def put(self, key: str, data: bytes) -> None:
        self.used[key] = data

    def close(self) -> None:
        """Store the facts of this run, and no others."""
        if self.used.keys() != (self.facts or {}).keys():
            self.save("facts", self.used)

    def load(self, name: str) -> dict[str, Any]:
        if not self.folder:
            return {}
        try:
            with open(os.path.join(self.folder, name), "rb") as file:
                found = pickle.load(file)
            return found if isinstance(found, dict) else {}
        except (
            OSError,
            pickle.UnpicklingError,
            EOFError,
            AttributeError,
            ImportError,
            ValueError,
            TypeError,
        ):
            return {}  # none yet, or of another version

    def save(self, name: str, content: dict[str, Any]) -> None:
        """Replace a file as a whole, so that no other run ever reads half of it. A failure is no error."""
        if not self.folder:
            return
        try:
            os.makedirs(self.folder, exist_ok=True)
            ignore = os.path.join(self.folder, ".gitignore")
            if not os.path.exists(ignore):
                Path(ignore).write_text("*\n", encoding="utf-8")
            with tempfile.NamedTemporaryFile(dir=self.folder, delete=False) as file:
                pickle.dump(content, file, protocol=pickle.HIGHEST_PROTOCOL)
            os.replace(file.name, os.path.join(self.folder, name))
        except OSError:
            return
