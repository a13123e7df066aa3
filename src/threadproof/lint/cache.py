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
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import threadproof.lint

FORMAT = 2  # raised when what is stored changes in a way that the hash of the linter's sources does not show


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
    """One folder with two files: `facts` by file, `runs` by run. Without a folder nothing is stored.

    The facts of a run are written as they are made, so that they are never all in memory.
    """

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.facts: dict[str, bytes] | None = None
        self.new: tempfile._TemporaryFileWrapper[bytes] | None = None
        self.is_new = False  # whether a fact was not stored before

    def run(self, key: str) -> Any:
        """What a run with this key has returned; None if it is not known."""
        return next((result for found, result in self.load("runs") if found == key), None)

    def save_run(self, key: str, result: Any) -> None:
        self.begin()
        self.add(key, result)
        self.end("runs")

    def take(self, key: str) -> bytes | None:
        """The facts stored under a key, once; None if there are none."""
        if self.facts is None:
            self.facts = dict(self.load("facts"))
        return self.facts.pop(key, None)

    def put(self, key: str, data: bytes, new: bool) -> None:
        """Store facts for the next run; `new` if they were not stored yet."""
        self.is_new |= new
        if self.new is None:
            self.begin()
        self.add(key, data)

    def close(self) -> None:
        """End the facts of this run, which replace those of the last if they differ."""
        self.end("facts" if self.is_new or self.facts else "")

    # --- files: pairs of a key and a value, pickled one after another ---

    def load(self, name: str) -> Iterator[tuple[str, Any]]:
        if not self.folder:
            return
        try:
            with open(os.path.join(self.folder, name), "rb") as file:
                while True:
                    key, value = pickle.load(file)
                    yield key, value
        except Exception:  # unpickling may raise anything: the file ends, is another version's, or is broken
            return

    def begin(self) -> None:
        """Begin a file. A failure is no error: then nothing is stored."""
        if not self.folder:
            return
        try:
            os.makedirs(self.folder, exist_ok=True)
            ignore = os.path.join(self.folder, ".gitignore")
            if not os.path.exists(ignore):
                Path(ignore).write_text("*\n", encoding="utf-8")
            self.new = tempfile.NamedTemporaryFile(dir=self.folder, delete=False)  # noqa: SIM115 - see end()
        except OSError:
            self.folder = ""

    def add(self, key: str, value: object) -> None:
        if self.new is not None:
            pickle.dump((key, value), self.new, protocol=pickle.HIGHEST_PROTOCOL)

    def end(self, name: str) -> None:
        """Put the file in its place as a whole, so that no other run ever reads half of it."""
        if self.new is None:
            return
        try:
            self.new.close()
            if name:
                os.replace(self.new.name, os.path.join(self.folder, name))
            else:
                os.unlink(self.new.name)
        except OSError:
            pass
        self.new = None
