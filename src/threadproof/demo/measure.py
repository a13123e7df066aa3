"""`threadproof demo`: a concordance of a source tree, built by threads that share one HashMap.

It is built three ways from the same lists of words. What each way builds is compared with what one thread
builds in a dict, and a difference ends the run with exit code 1.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from heapq import nsmallest
from pathlib import Path

from threadproof.cli import UsageError
from threadproof.cli.concordance import (
    Concordance,
    DictConcordance,
    LockedConcordance,
    SharedConcordance,
    Tree,
    build,
    difference,
    read_tree,
)
from threadproof.cli.progress import Progress

ROUNDS = 3  # of all three ways in turn; the table shows the best of each
SHOWN = 10  # words in each list
MOST_THREADS = 256
WRONG_ANSWER = 1


class WrongAnswerError(Exception):
    """Two ways of building the same concordance came to different results."""


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
    """All that the demo has to say; `--json` prints it as it is."""

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


def add_arguments(parser: argparse.ArgumentParser) -> None:
    path = "a directory or a file of text (default: the standard library of this Python)"
    threads = "threads that share the map (default: one per CPU, %(default)s here)"
    parser.add_argument("path", nargs="?", type=Path, help=path)
    parser.add_argument("--threads", type=thread_count, default=default_threads(), metavar="N", help=threads)
    parser.add_argument("--json", action="store_true", help="print the results as JSON")
    parser.add_argument("--quiet", action="store_true", help="draw no progress bar")


def thread_count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= MOST_THREADS:
        raise argparse.ArgumentTypeError(f"wants a whole number from 1 to {MOST_THREADS}, got {text!r}")
    return int(text)


def default_threads() -> int:
    """One per CPU this process may use, but two to share anything at all, and eight are enough to show it."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(max(usable, 2), 8)


def run(args: argparse.Namespace) -> int:
    root = args.path or Path(os.__file__).parent
    progress = Progress(sys.stderr, quiet=args.json or args.quiet)
    try:
        tree = read_sources(root, progress)
        concordance, timings = measure(tree, args.threads, progress)
    except WrongAnswerError as error:
        print(f"threadproof demo: WRONG ANSWER: {error}", file=sys.stderr)
        return WRONG_ANSWER
    finally:
        progress.clear()
    report = make_report(root, tree, concordance, timings)
    print(json.dumps(asdict(report), indent=2) if args.json else as_text(report))
    return 0


def read_sources(root: Path, progress: Progress) -> Tree:
    if not root.exists():
        raise UsageError(f"no file or directory at {str(root)!r}")
    tree = read_tree(root, progress)
    if not any(file.words for file in tree.files):
        raise UsageError(
            f"no words to count at {str(root)!r}: {len(tree.files)} text files, "
            f"{tree.binary} binary, {tree.unreadable} unreadable"
        )
    return tree


def measure(tree: Tree, threads: int, progress: Progress) -> tuple[Concordance, list[Timing]]:
    """Build the concordance in every way, several times in turn; WrongAnswerError when two differ."""
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
    """Return the seconds it took; without garbage collection, as timeit does, for the words are millions."""
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
        equal_to_dict=True,  # or WrongAnswerError would have been raised
        timings=timings,
        python=f"{platform.python_implementation()} {platform.python_version()}",
        gil=getattr(sys, "_is_gil_enabled", lambda: True)(),
    )


def as_text(report: Report) -> str:
    lines = [
        f"{report.words:,} words, {report.distinct:,} different, in {report.files:,} files of {report.path}",
        f"Skipped: {report.binary:,} binary files, {report.unreadable:,} unreadable.",
        "",
        *words_table("most frequent", report.most_frequent),
        "",
        *words_table("in most files", report.in_most_files),
        "",
        "Checked: every way below gave the same counts and files as a dict filled by one thread.",
        "",
        *timings_table(report),
    ]
    return "\n".join(lines)


def words_table(title: str, words: list[Word]) -> list[str]:
    width = max(len(title), *(len(word.word) for word in words))
    return [f"{title:{width}} {'times':>10} {'files':>8}"] + [
        f"{word.word:{width}} {word.count:>10,} {word.files:>8,}" for word in words
    ]


def timings_table(report: Report) -> list[str]:
    """Make the lines of the times, and under them what was timed."""
    return [
        f"{'way':12} {'threads':>7} {'seconds':>9} {'speed-up':>9}",
        *(f"{t.way:12} {t.threads:>7} {t.seconds:>9.3f} {t.speedup:>8.2f}x" for t in report.timings),
        "",
        f"{report.python}, the GIL is {'on: threads take turns' if report.gil else 'off'}.",
        "Timed: from a list of words per file to the whole concordance; reading and splitting come before.",
        "With the lock, each thread counts a file on its own and then takes the lock once to add that up.",
        f"Best of {ROUNDS} rounds, with garbage collection paused.",
    ]
