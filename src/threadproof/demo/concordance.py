"""A concordance: every word of a source tree, how often it occurs, and in which files.

Three classes build the same concordance, each in its fastest way: one thread and a dict, several threads and
a dict with a lock, several threads and a HashMap.
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

from threadproof.maps import HashMap

WORD = re.compile(r"\b[^\W\d]\w*")  # a word or an identifier, in any script
NOT_SOURCE = {"__pycache__", "node_modules", "site-packages"}  # skipped, as is .git and any other .name
INTERVAL = 0.1  # seconds between two reports of progress: often enough for a person, and cheap


class Progress(Protocol):
    """Shows how far a step is; `threadproof.cli.progress` has one for terminals."""

    def begin(self, step: str, total: int) -> None:
        """The step's name, and its number of files."""

    def show(self, done: int) -> None:
        """This many files are done."""


@dataclass(frozen=True)
class File:
    """The words of one file, in their order."""

    name: str
    words: list[str]


@dataclass
class Tree:
    """The text files of a source tree, and the numbers of those that were skipped."""

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
    """The file's text; OSError if it cannot be read, ValueError if it is not text."""
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
    """For one thread. Counter is a dict that counts a list in C, which is the fastest way without threads."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.files: defaultdict[str, list[str]] = defaultdict(list)

    def add(self, file: File) -> None:
        self.counts.update(file.words)
        for word in set(file.words):
            self.files[word].append(file.name)


class LockedConcordance(DictConcordance):
    """The same dicts and a lock, which is held once per file, not once per word, and briefly."""

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
    """Two HashMaps that all threads write to, without a lock."""

    def __init__(self) -> None:
        self.counts: HashMap[str, int] = HashMap()
        self.files: HashMap[str, list[str]] = HashMap()

    def add(self, file: File) -> None:
        self.counts.count_many(file.words)
        words = list(set(file.words))
        for word, names in zip(words, self.files.get_many(words), strict=True):
            if names is None:
                names = self.files.setdefault(word, [])  # two threads at this line get the same list
            names.append(file.name)  # one atomic step of a list


def build(concordance: Concordance, files: list[File], threads: int, progress: Progress) -> None:
    """Enter all files: in this thread if `threads` is 1, else in that many new ones."""
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
        stop.set()  # after Ctrl-C the workers finish their current file and end
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
    """The first difference from the expected concordance, in words; None if they are equal."""
    for word in built.counts.keys() | expected.counts.keys():
        counted = built.counts.get(word, 0), expected.counts.get(word, 0)
        if counted[0] != counted[1]:
            return f"{word!r} was counted {counted[0]:,} times, not {counted[1]:,}"
        found = sorted(built.files.get(word, ())), sorted(expected.files.get(word, ()))
        if found[0] != found[1]:
            return f"{word!r} was found in {', '.join(found[0])}, not in {', '.join(found[1])}"
    return None
