"""A concordance: every word of a source tree, how often it occurs, and in which files.

Three classes build the same concordance, each in the way that is fastest for what it has: one thread and a
dict, a dict behind a lock, and a map that threads share as it is.
"""

from __future__ import annotations

import os
import re
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Protocol

from threadproof.cli.progress import INTERVAL, Progress
from threadproof.maps import HashMap

WORD = re.compile(r"\b[^\W\d]\w*")  # a word or an identifier, in any script
NOT_SOURCE = {"__pycache__", "node_modules", "site-packages"}  # directories; those that start with a dot, too


@dataclass(frozen=True)
class File:
    """The words of one file, in their order."""

    name: str
    words: list[str]


@dataclass
class Tree:
    """The files of a source tree, and how many were left out."""

    files: list[File] = field(default_factory=list)
    binary: int = 0
    unreadable: int = 0


def read_tree(root: Path, progress: Progress) -> Tree:
    """Read and split every text file under `root`, which may also be a single file."""
    closed: list[OSError] = []
    paths = list(source_paths(root, closed.append)) if root.is_dir() else [root]
    tree = Tree(unreadable=len(closed))
    progress.begin("reading", len(paths))
    for done, path in enumerate(paths):
        progress.show(done)
        try:
            tree.files.append(File(os.path.relpath(path, root), WORD.findall(read_text(path))))
        except OSError:
            tree.unreadable += 1
        except ValueError:
            tree.binary += 1
    return tree


def source_paths(root: Path, on_closed_directory: Callable[[OSError], None]) -> Iterator[Path]:
    for directory, subdirectories, names in os.walk(root, onerror=on_closed_directory):
        subdirectories[:] = sorted(d for d in subdirectories if not d.startswith(".") and d not in NOT_SOURCE)
        yield from (Path(directory, name) for name in sorted(names))


def read_text(path: Path) -> str:
    """Return what is in the file; OSError where it cannot be read, ValueError where it is not text."""
    if not path.is_file():
        raise OSError(f"{path} is a pipe, a device or a broken link, and might never end")
    data = path.read_bytes()
    if b"\0" in data:
        raise ValueError(f"{path} has a zero byte")
    return data.decode()


class Concordance(Protocol):
    """Word -> how often, and word -> the names of the files it is in."""

    @property
    def counts(self) -> Mapping[str, int]: ...
    @property
    def files(self) -> Mapping[str, list[str]]: ...
    def add(self, file: File) -> None:
        """Enter one file; each file is entered once."""


class DictConcordance:
    """For one thread. Counter is a dict that counts a list in C: nothing is faster without threads."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.files: defaultdict[str, list[str]] = defaultdict(list)

    def add(self, file: File) -> None:
        self.counts.update(file.words)
        for word in set(file.words):
            self.files[word].append(file.name)


class LockedConcordance(DictConcordance):
    """The same dicts and a lock, held once per file and not once per word, for as short as can be."""

    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()

    def add(self, file: File) -> None:
        counted = Counter(file.words)  # private to this thread, so no lock yet
        with self.lock:
            self.counts.update(counted)
            for word in counted:
                self.files[word].append(file.name)


class SharedConcordance:
    """Two HashMaps that all threads write as they come; there is no lock to hold."""

    def __init__(self) -> None:
        self.counts: HashMap[str, int] = HashMap()
        self.files: HashMap[str, list[str]] = HashMap()

    def add(self, file: File) -> None:
        self.counts.count_many(file.words)
        words = list(set(file.words))
        for word, names in zip(words, self.files.get_many(words), strict=True):
            if names is None:
                names = self.files.setdefault(word, [])  # of two threads here, both get the same list
            names.append(file.name)  # one atomic step of a list


def build(concordance: Concordance, files: list[File], threads: int, progress: Progress) -> None:
    """Enter all files; in this thread when `threads` is 1, else in that many others."""
    if threads == 1:
        for done, file in enumerate(files):
            concordance.add(file)
            progress.show(done)
    else:
        build_in_threads(concordance, files, threads, progress)


def build_in_threads(concordance: Concordance, files: list[File], threads: int, progress: Progress) -> None:
    todo: SimpleQueue[File] = SimpleQueue()
    for file in files:
        todo.put(file)
    errors: list[BaseException] = []
    stop = threading.Event()
    arguments = (concordance, todo, errors, stop)
    workers = [threading.Thread(target=enter_files, args=arguments) for _ in range(threads)]
    try:
        for worker in workers:
            worker.start()
        for worker in workers:
            while worker.is_alive():
                worker.join(INTERVAL)
                progress.show(len(files) - todo.qsize())
    finally:
        stop.set()  # after Ctrl-C the workers end by themselves, with the file they have in hand
    if errors:
        raise errors[0]


def enter_files(
    concordance: Concordance, todo: SimpleQueue[File], errors: list[BaseException], stop: threading.Event
) -> None:
    try:
        while not stop.is_set():
            concordance.add(todo.get_nowait())
    except Empty:
        return
    except BaseException as error:
        errors.append(error)
        stop.set()


def difference(built: Concordance, expected: Concordance) -> str | None:
    """Say how a concordance differs from the expected one, by one word; None when they are equal."""
    for word in built.counts.keys() | expected.counts.keys():
        counted = built.counts.get(word, 0), expected.counts.get(word, 0)
        if counted[0] != counted[1]:
            return f"{word!r} was counted {counted[0]:,} times, not {counted[1]:,}"
        found = sorted(built.files.get(word, ())), sorted(expected.files.get(word, ()))
        if found[0] != found[1]:
            return f"{word!r} was found in {', '.join(found[0])}, not in {', '.join(found[1])}"
    return None
