"""`threadproof contention`: run a program unchanged, and report on stderr where its threads have waited."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from threadproof.cli import UsageError, program
from threadproof.findings import ExitCode
from threadproof.findings.model import remember_folder
from threadproof.race.endings import before_quick_ends
from threadproof.watch.contention import Profile, SelfTestError, UnsupportedError, profile
from threadproof.watch.contention.formats import FILES

EXIT_CODES = {
    ExitCode.USAGE: "the program was not run, or a report could not be written; one line says why",
    ExitCode.INTERRUPTED: "the program was interrupted: it ends by SIGINT, which a shell shows so",
    "other": "the program's own exit code",
}

FORMATS = {
    "json": "all of the report as JSON",
    "html": "a page with a flame graph and a timeline",
    "pprof": "a profile for `go tool pprof` and speedscope",
    "collapsed": "stacks for flamegraph.pl and speedscope",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    for name, meaning in FORMATS.items():
        if name in FILES:
            parser.add_argument(f"--{name}", metavar="FILE", help=f"also write {meaning}")
    parser.add_argument("--quiet", action="store_true", help="write no table")
    program.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    remember_folder()
    outputs = {name: Path(given).absolute() for name in FILES if (given := getattr(args, name))}
    for path in outputs.values():
        check_output(path)
    return Profiled(args, outputs).run()


def check_output(path: Path) -> None:
    """Before the program runs, for then it is too late."""
    if not path.parent.is_dir() or path.is_dir() or not os.access(path.parent, os.W_OK):
        raise UsageError(f"cannot write {str(path)!r}: there is no such folder, or it cannot be written to")


class Profiled:
    """One run of a program under the profiler."""

    def __init__(self, args: argparse.Namespace, outputs: dict[str, Path]) -> None:
        self.outputs, self.quiet = outputs, args.quiet
        self.target = program.Program(args)
        self.profile: Profile = profile()
        self.process = os.getpid()
        self.stderr = sys.stderr
        self.published = False

    def run(self) -> int:
        try:
            self.profile.start()
        except (UnsupportedError, SelfTestError) as error:
            raise UsageError(str(error)) from None
        before_quick_ends(self.leave)
        code = self.target.run(lambda code: None, self.profile.stop, (UnsupportedError, SelfTestError))
        return self.leave(code)

    def leave(self, code: int) -> int:
        """The process is about to end with this code: report once. A forked child reports nothing."""
        if self.published or os.getpid() != self.process:
            return code
        self.published = True
        self.profile.stop()
        report = self.profile.report()
        if not self.quiet and self.stderr is not None:
            print(report, file=self.stderr)
        for name, path in self.outputs.items():
            try:
                report.write(name, path)
            except OSError as error:
                raise UsageError(f"cannot write {str(path)!r}: {error.strerror}") from None
        return code
