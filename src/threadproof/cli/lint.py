"""`threadproof lint`: find races, deadlocks and broken locking in source, without running it.

    threadproof lint src tests
    threadproof lint --preview --select CM1,CM203 src
    threadproof lint --diff-base origin/main --output-format github
    cat app.py | threadproof lint --stdin-filename app.py -
    threadproof lint --explain CM101

Options are also read from [tool.threadproof.lint] in pyproject.toml, and from THREADPROOF_LINT.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from threadproof.cli import UsageError
from threadproof.cli.progress import Progress
from threadproof.findings import ExitCode
from threadproof.findings.options import OptionError
from threadproof.findings.suppress import SuppressionError
from threadproof.lint import pages
from threadproof.lint.changed import RevisionError
from threadproof.lint.files import FileError
from threadproof.lint.options import OPTIONS
from threadproof.lint.run import Run

MIXED = True
EXIT_CODES = {
    ExitCode.OK: "no finding, or none at or above --severity",
    1: "there are findings; with --diff, there are fixes",
    ExitCode.USAGE: "the linter could not run, or some file could not be linted; one line for each says why",
    ExitCode.INTERRUPTED: "interrupted",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "paths",
        nargs="*",
        default=["."],
        metavar="path",
        help="files and folders (default: .); - is standard input",
    )
    parser.add_argument("--stdin-filename", metavar="FILE", help="what standard input is called")
    parser.add_argument("--explain", metavar="CODE", help="print the page of a rule")
    parser.add_argument("--rules", action="store_true", help="list the rules")
    parser.add_argument(
        "--infer", action="store_true", help="propose annotations: which lock guards which attribute"
    )
    parser.add_argument(
        "--lsp",
        action="store_true",
        help="serve an editor over standard input and output (needs threadproof[lsp])",
    )
    OPTIONS.add_arguments(parser)
    try:
        parser.set_defaults(**OPTIONS.read(os.environ, folder=Path.cwd()))
    except OptionError as error:
        raise UsageError(str(error)) from None


def run(args: argparse.Namespace) -> int:
    try:
        if args.explain:
            print(pages.explain(args.explain))
            return ExitCode.OK
        if args.rules:
            print(pages.listing())
            return ExitCode.OK
        if args.lsp:
            return serve()
        return lint(args)
    except (OptionError, SuppressionError, RevisionError, FileError) as error:
        raise UsageError(str(error)) from None
    except OSError as error:
        raise UsageError(f"cannot write {error.filename!r}: {error.strerror}") from None


def lint(args: argparse.Namespace) -> int:
    one = Run(vars(args), sys.stdout, progress(args))
    if args.stdin_filename or args.paths == ["-"]:
        one.take_text(args.stdin_filename or "stdin.py", sys.stdin.read())
    if args.infer:
        return one.infer()
    return one.watch() if args.watch else one.once()


def progress(args: argparse.Namespace) -> Progress:
    return Progress(sys.stderr, quiet=args.output_format != "text")


def serve() -> int:
    try:
        from threadproof.lint.lsp import make_server
    except ImportError:
        raise UsageError("the language server needs pygls: pip install 'threadproof[lsp]'") from None
    make_server().start_io()
    return ExitCode.OK
