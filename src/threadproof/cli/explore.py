"""`threadproof explore`: run a threaded test under many schedules; explain and repeat the one that fails."""

from __future__ import annotations

import argparse
import builtins
import importlib.util
import inspect
import io
import os
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from threadproof.cli import UsageError
from threadproof.cli.progress import Progress
from threadproof.explore.api import Exploration, explore
from threadproof.explore.options import OPTIONS, settings
from threadproof.explore.report import EXPLORER, findings_of
from threadproof.explore.token import TokenError
from threadproof.findings import ExitCode
from threadproof.findings.model import Place, current_folder, remember_folder
from threadproof.findings.options import OptionError
from threadproof.findings.reporter import Reporter
from threadproof.findings.suppress import SuppressionError
from threadproof.probe import SelfTestError, UnsupportedError

EXIT_CODES = {
    ExitCode.OK: "no schedule failed",
    ExitCode.USAGE: "nothing was explored, and one line says why",
    ExitCode.FOUND: "a schedule failed, and that is not suppressed",
    ExitCode.DIVERGED: "the schedule of --replay could not be repeated, or the test has none that repeats",
    ExitCode.INTERRUPTED: "interrupted",
}
MIXED = True


class Target(NamedTuple):
    """The test to run, the file that it is in, and its line."""

    test: Callable[[], object]
    place: Place


def add_arguments(parser: argparse.ArgumentParser) -> None:
    OPTIONS.add_arguments(parser)
    parser.add_argument(
        "target",
        metavar="test.py::name | script.py",
        help="a function of a file, or a whole script; for a test with fixtures, pytest --explore",
    )
    try:
        parser.set_defaults(**OPTIONS.read(os.environ, folder=Path(current_folder() or os.sep)))
    except OptionError as error:
        raise UsageError(str(error)) from None


def run(args: argparse.Namespace) -> int:
    remember_folder()
    values = vars(args)
    try:
        reporter = Reporter(EXPLORER, values)
        reporter.check_outputs()
        target = target_of(args.target)
        progress = Progress(sys.stderr or io.StringIO())
        try:
            found = explore(
                target.test,
                name=args.target,
                roots=[os.path.dirname(target.place.file)],
                progress=lambda schedules, seconds: progress.say(how_far(schedules, seconds)),
                **settings(values),
            )
        finally:
            progress.clear()
    except (UnsupportedError, SelfTestError, SuppressionError, TokenError) as error:
        raise UsageError(str(error)) from None
    except OSError as error:
        raise UsageError(f"cannot write {error.filename!r}: {error.strerror}") from None
    return report(found, target, reporter, args)


def how_far(schedules: int, seconds: float) -> str:
    return f"{schedules:,} schedules without a failure, {schedules / seconds:,.0f} a second"


def report(found: Exploration, target: Target, reporter: Reporter, args: argparse.Namespace) -> int:
    found.command = f"threadproof explore {shlex.quote(args.target)}{options_again(args)} --replay "
    findings = reporter.apply(findings_of(found, target.place))
    if reporter.options["log_path"]:
        reporter.print(findings)
    elif any(not finding.suppressed for finding in findings):
        reporter.stderr.write(f"{found.report()}\n")
    else:
        reporter.stderr.write("\n".join([found.summary(), *found.uncontrolled_lines(), ""]))
    reporter.save(findings)
    diverged = ExitCode.DIVERGED if found.diverged else ExitCode.OK
    return diverged or reporter.exit_code(findings)


def options_again(args: argparse.Namespace) -> str:
    """Those options that decide which steps there are: a replay needs the same."""
    words = [f"--timeouts={args.timeouts}"] if args.timeouts != "last" else []
    words += [f"--include={name}" for name in args.include] + [f"--exclude={name}" for name in args.exclude]
    return "".join(f" {shlex.quote(word)}" for word in words)


# --- the test ---


def target_of(text: str) -> Target:
    """UsageError if there is no such test, or if it takes arguments."""
    path, _, name = text.partition("::")
    if not os.path.isfile(path):
        raise UsageError(f"cannot read {path!r}: write a script, or file.py::function")
    path = os.path.abspath(path)
    if not sys.flags.safe_path:
        sys.path[:1] = [os.path.dirname(path)]
    return function_in(path, name) if name else script(path)


def function_in(path: str, name: str) -> Target:
    found: Any = imported(path)
    for part in name.split("::"):
        if isinstance(found, type):
            found = found()  # a class of tests
        found = getattr(found, part, None)
    if not callable(found):
        raise UsageError(f"{path!r} has no function {name!r}")
    needed = [
        each.name
        for each in inspect.signature(found).parameters.values()
        if each.default is each.empty and each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)
    ]
    if needed:
        raise UsageError(
            f"{name}() wants {', '.join(needed)}; for a test with fixtures, run pytest --explore"
        )
    line = inspect.unwrap(found).__code__.co_firstlineno if hasattr(found, "__code__") else 1
    return Target(found, Place(path, line, name))


def imported(path: str) -> ModuleType:
    """The module of a file, under its own name, as if a script beside it had imported it."""
    name = Path(path).stem
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UsageError(f"{path!r} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise UsageError(f"{path!r} cannot be imported: {type(error).__name__}: {error}") from None
    return module


def script(path: str) -> Target:
    """Each run executes the whole script as the module __main__."""
    code = compile(Path(path).read_bytes(), path, "exec", dont_inherit=True)

    def test() -> None:
        main = ModuleType("__main__")
        main.__dict__.update(__builtins__=builtins, __file__=path)
        sys.modules["__main__"] = main
        sys.argv = [path]
        try:
            exec(code, main.__dict__)
        except SystemExit as stop:
            if stop.code not in (None, 0):
                raise

    return Target(test, Place(path, 1))
