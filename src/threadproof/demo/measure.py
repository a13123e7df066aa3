"""Builds one concordance in three ways from the same lists of words, and compares and times them."""

from __future__ import annotations

import gc
import platform
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from heapq import nsmallest
from pathlib import Path

from threadproof.demo.concordance import (
    Concordance,
    DictConcordance,
    LockedConcordance,
    Progress,
    SharedConcordance,
    Tree,
    build,
    difference,
    read_tree,
)

ROUNDS = 3  # of all three ways in turn; the best of each counts: noise only makes a round slower
SHOWN = 10  # words in each list


class WrongAnswerError(Exception):
    """Two ways of building the concordance gave different results."""


class NoWordsError(ValueError):
    """The path has no file with a word in it; the message is one line."""


@dataclass(frozen=True)
class Word:
    word: str
    count: int
    files: int


@dataclass(frozen=True)
class Timing:
    way: str
    threads: int
    seconds: float
    speedup: float


@dataclass(frozen=True)
class Report:
    """The results; times in seconds, `speedup` relative to one thread with a dict."""

    path: str
    files: int
    binary: int
    unreadable: int
    words: int
    distinct: int
    most_frequent: list[Word]
    in_most_files: list[Word]
    equal_to_dict: bool
    timings: list[Timing]
    python: str
    gil: bool


@dataclass(frozen=True)
class Way:
    name: str
    make: Callable[[], Concordance]
    threads: int

    def __str__(self) -> str:
        return f"{self.name}, {self.threads} thread{'s' * (self.threads > 1)}"


def demonstrate(root: Path, threads: int, progress: Progress) -> Report:
    """Read the tree, build and compare; NoWordsError and WrongAnswerError as they say."""
    tree = read_sources(root, progress)
    concordance, timings = measure(tree, threads, progress)
    return make_report(root, tree, concordance, timings)


def read_sources(root: Path, progress: Progress) -> Tree:
    if not root.exists():
        raise NoWordsError(f"no file or directory at {str(root)!r}")
    tree = read_tree(root, progress)
    if not any(file.words for file in tree.files):
        raise NoWordsError(
            f"no words to count at {str(root)!r}: {len(tree.files)} text files, "
            f"{tree.binary} binary, {tree.unreadable} unreadable"
        )
    return tree


def measure(tree: Tree, threads: int, progress: Progress) -> tuple[Concordance, list[Timing]]:
    """Build the concordance in every way, several times in turn."""
    ways = [
        Way("dict", DictConcordance, 1),
        Way("dict + Lock", LockedConcordance, threads),
        Way("HashMap", SharedConcordance, threads),
    ]
    best = dict.fromkeys(ways, float("inf"))
    expected = ways[0].make()
    timed_build(ways[0], expected, tree, progress)
    built = expected
    for way in ways * ROUNDS:
        built = way.make()
        best[way] = min(best[way], timed_build(way, built, tree, progress))
        check(way, built, expected)
    alone = best[ways[0]]
    return built, [Timing(way.name, way.threads, best[way], alone / best[way]) for way in ways]


def timed_build(way: Way, concordance: Concordance, tree: Tree, progress: Progress) -> float:
    """The seconds that it took, with garbage collection paused, as timeit does."""
    progress.begin(str(way), len(tree.files))
    gc.disable()
    try:
        began = time.perf_counter()
        build(concordance, tree.files, way.threads, progress)
        return time.perf_counter() - began
    finally:
        gc.enable()


def check(way: Way, built: Concordance, expected: Concordance) -> None:
    differs = difference(built, expected)
    if differs:
        raise WrongAnswerError(f"{way} is not equal to a dict in one thread: {differs}")


def make_report(root: Path, tree: Tree, concordance: Concordance, timings: list[Timing]) -> Report:
    words = [Word(word, count, len(concordance.files[word])) for word, count in concordance.counts.items()]
    return Report(
        path=str(root),
        files=len(tree.files),
        binary=tree.binary,
        unreadable=tree.unreadable,
        words=sum(word.count for word in words),
        distinct=len(words),
        most_frequent=nsmallest(SHOWN, words, key=lambda word: (-word.count, word.word)),
        in_most_files=nsmallest(SHOWN, words, key=lambda word: (-word.files, word.word)),
        equal_to_dict=True,  # else WrongAnswerError was raised
        timings=timings,
        python=f"{platform.python_implementation()} {platform.python_version()}",
        gil=getattr(sys, "_is_gil_enabled", lambda: True)(),
    )
