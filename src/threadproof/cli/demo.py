"""`threadproof demo`: a concordance of a source tree, built by threads that share one HashMap.

It is built three ways from the same lists of words, and each result is compared with a dict filled by one
thread.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import asdict
from pathlib import Path

from threadproof.cli import UsageError
from threadproof.cli.progress import Progress
from threadproof.demo.measure import NoWordsError, WrongAnswerError, demonstrate
from threadproof.demo.text import as_text
from threadproof.findings import ExitCode

MOST_THREADS = 256  # more than any machine runs at once, and few enough to start
EXIT_CODES = {
    ExitCode.OK: "all three ways built the same concordance",
    ExitCode.WRONG_ANSWER: "two ways gave different results",
    ExitCode.USAGE: "no such file or directory, or no words in it",
    ExitCode.INTERRUPTED: "interrupted",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    path = "a directory or a file of text (default: the standard library of this Python)"
    threads = "threads that share the map (default: one per CPU, %(default)s here)"
    parser.add_argument("path", nargs="?", type=Path, help=path)
    parser.add_argument("--threads", type=thread_count, default=default_threads(), metavar="N", help=threads)
    parser.add_argument("--json", action="store_true", help="print the results as JSON; times are in seconds")
    parser.add_argument("--quiet", action="store_true", help="draw no progress bar")


def thread_count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= MOST_THREADS:
        raise argparse.ArgumentTypeError(f"wants a whole number from 1 to {MOST_THREADS}, got {text!r}")
    return int(text)


def default_threads() -> int:
    """One per CPU that this process may use, but at least two, to share something, and at most eight."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(max(usable, 2), 8)


def run(args: argparse.Namespace) -> int:
    progress = Progress(sys.stderr, quiet=args.json or args.quiet)
    try:
        report = demonstrate(args.path or Path(os.__file__).parent, args.threads, progress)
    except NoWordsError as error:
        raise UsageError(str(error)) from None
    except WrongAnswerError as error:
        print(f"threadproof demo: WRONG ANSWER: {error}", file=sys.stderr)
        return ExitCode.WRONG_ANSWER
    finally:
        progress.clear()
    print(json.dumps(asdict(report), indent=2) if args.json else as_text(report))
    return ExitCode.OK
