"""`threadproof race`: run a program unchanged, and report the data races of that run on stderr at its end."""

from __future__ import annotations

import argparse
import os
from importlib import import_module
from pathlib import Path
from types import ModuleType

from threadproof.cli import UsageError, program
from threadproof.findings import ExitCode
from threadproof.findings.model import remember_folder
from threadproof.findings.options import OptionError
from threadproof.findings.reporter import Reporter
from threadproof.findings.suppress import SuppressionError
from threadproof.race import SelfTestError, UnsupportedError
from threadproof.race.children import Children, merged, save
from threadproof.race.endings import before_quick_ends
from threadproof.race.options import OPTIONS
from threadproof.race.report import DETECTOR, Halt
from threadproof.race.session import Scope, Session

EXIT_CODES = {
    ExitCode.FOUND: "there was a data race at or above --severity, and it is not suppressed",
    ExitCode.USAGE: "the program was not run, or a report could not be written; one line says why",
    ExitCode.INTERRUPTED: "the program was interrupted: it ends by SIGINT, which a shell shows so",
    "other": "the program's own exit code",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    OPTIONS.add_arguments(parser)
    parser.add_argument(
        "--lint", action="store_true", help="then list the linter's findings, those that did not run first"
    )
    program.add_arguments(parser)
    try:
        parser.set_defaults(**OPTIONS.read(os.environ, folder=Path(program.current_folder() or os.sep)))
    except OptionError as error:
        raise UsageError(str(error)) from None


def run(args: argparse.Namespace) -> int:
    remember_folder()
    try:
        reporter = Reporter(DETECTOR, vars(args))
        reporter.check_outputs()
        return Watched(args, reporter).run()
    except (UnsupportedError, SelfTestError, SuppressionError) as error:
        raise UsageError(str(error)) from None
    except OSError as error:
        raise UsageError(f"cannot write {error.filename!r}: {error.strerror}") from None


def exercised() -> ModuleType:
    """The linter is imported only if it is needed: a program can see which modules are there."""
    return import_module("threadproof.cli.exercised")


class Watched:
    """One run of a program under the detector, and what its processes leave when they end."""

    def __init__(self, args: argparse.Namespace, reporter: Reporter) -> None:
        self.args, self.reporter = args, reporter
        self.target = program.Program(args)
        roots = [folder for folder in (self.target.folder, program.current_folder()) if folder]
        self.scope = Scope(roots, args.include, args.exclude)
        self.session = Session(self.scope, history=args.history, sample=args.sample, order_io=args.order_io)
        self.session.on_race = Halt(self.session, reporter) if args.halt_on_error else None
        self.children = Children(
            {
                "roots": roots,
                "include": args.include,
                "exclude": args.exclude,
                "history": args.history,
                "sample": args.sample,
                "order_io": args.order_io,
                "strict": args.strict,
                "follower": "threadproof.cli.follow" if args.children else "",
            }
        )
        self.exercised = exercised() if args.lint else None
        self.lines = self.exercised.Lines() if self.exercised else None
        self.published = False

    def run(self) -> int:
        """Run the program, report, and return the exit code."""
        try:
            self.session.start()
            self.children.follow()
            before_quick_ends(self.leave)
            refusals = (UnsupportedError, SelfTestError)
            code = self.target.run(self.session.know, self.session.note_ends, refusals)
            if self.in_child():
                return self.leave(code)
            self.session.stop()
            if self.session.refused:
                raise self.session.refused
            return self.leave(code)
        finally:
            if self.lines:
                self.lines.close()
            if not self.in_child():
                self.children.collect()  # removes the folder where there was no report

    def in_child(self) -> bool:
        return os.getpid() != self.children.process

    def leave(self, code: int) -> int:
        """The process is about to end with this code: report once, and return the code that it gets."""
        if self.published:
            return code
        self.published = True
        found = self.session.findings(self.args.strict)
        if self.in_child():
            save(found, self.children.folder)
            return code
        self.reporter.watched = self.session.summary()
        found = self.reporter.apply(merged([*found, *self.children.collect()]))
        self.reporter.publish(found, self.reporter.unused(self.session.watched_files()))
        if self.exercised and self.lines:
            self.reporter.stderr.write(
                self.exercised.report(self.session.watched_files(), frozenset(self.lines.ran))
            )
        return self.with_includes(self.reporter.exit_code(found, otherwise=code), code)

    def with_includes(self, code: int, own: int) -> int:
        """An --include of which no code has run is probably misspelt, and nothing else says so."""
        unmatched = self.scope.unmatched if self.session.watch.armed else []
        if not unmatched:
            return code
        names = ", ".join(map(repr, unmatched))
        self.reporter.stderr.write(
            f"{DETECTOR.title}: no code of --include {names} has run; check the name\n"
        )
        return code if code != own or own else int(ExitCode.USAGE)
