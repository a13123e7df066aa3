"""`threadproof race`: run a program unchanged, and report the data races of that run on stderr at its end."""

from __future__ import annotations

import argparse
import atexit
import os
from pathlib import Path

from threadproof.cli import UsageError, program
from threadproof.findings import ExitCode
from threadproof.findings.options import OptionError
from threadproof.findings.reporter import Reporter
from threadproof.findings.suppress import SuppressionError
from threadproof.race import SelfTestError, UnsupportedError, acquire
from threadproof.race.options import OPTIONS
from threadproof.race.report import DETECTOR, Halt, findings
from threadproof.race.session import Scope, Session

EXIT_CODES = {
    ExitCode.FOUND: "there was a data race at or above --severity, and it is not suppressed",
    ExitCode.USAGE: "the program was not run, or a report could not be written; one line says why",
    ExitCode.INTERRUPTED: "the program was interrupted",
    "other": "the program's own exit code",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    OPTIONS.add_arguments(parser)
    program.add_arguments(parser)
    try:
        parser.set_defaults(**OPTIONS.read(os.environ, folder=Path.cwd()))
    except OptionError as error:
        raise UsageError(str(error)) from None


def run(args: argparse.Namespace) -> int:
    try:
        reporter = Reporter(DETECTOR, vars(args))
        session, code = observe(args, reporter)
    except (UnsupportedError, SelfTestError, SuppressionError) as error:
        raise UsageError(str(error)) from None
    found = findings(reporter, session)
    try:
        reporter.publish(found, reporter.unused(session.watched_files()))
    except OSError as error:
        raise UsageError(f"cannot write {error.filename!r}: {error.strerror}") from None
    return reporter.exit_code(found, otherwise=code)


def observe(args: argparse.Namespace, reporter: Reporter) -> tuple[Session, int]:
    """Run the program under the detector; return the session, and the program's exit code."""
    target = program.Program(args)
    scope = Scope([target.folder, os.getcwd()], args.include, args.exclude)
    session = Session(scope, history=args.history, sample=args.sample)
    session.on_race = Halt(session, reporter) if args.halt_on_error else None

    def before_exit() -> None:
        session.note_ends()
        acquire(atexit)  # pairs with the release in each atexit.register()

    session.start()
    code = target.run(session.know, before_exit, (UnsupportedError, SelfTestError))
    session.stop()
    if session.refused:
        raise session.refused
    return session, code
