"""`threadproof race`: run a program unchanged, and report the data races of that run.

The program runs in this very process, as `python` would run it: its arguments, its exit code, its output.
Races are reported on stderr when it ends. The exit code is 66 if one was found at or above --severity, else
the program's own.
"""

from __future__ import annotations

import argparse
import os
import runpy
import sys
import traceback
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from types import CodeType, ModuleType

from threadproof.cli import UsageError
from threadproof.findings import Finding, Severity, summary
from threadproof.findings.github import as_github
from threadproof.findings.html import as_html
from threadproof.findings.json import as_json
from threadproof.findings.sarif import as_sarif
from threadproof.findings.text import as_text, style_for
from threadproof.race import SelfTestError, UnsupportedError
from threadproof.race.session import Scope, Session

RACE_FOUND = 66  # as Go has it
SEVERITIES = {str(severity): severity for severity in Severity if severity}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.usage = f"{parser.prog} [options] (script.py | -m module | -c code) [arguments]"
    worst = "exit with 66 for races at least this bad: error, warning or note (default: %(default)s)"
    parser.add_argument("--severity", choices=SEVERITIES, default="warning", metavar="LEVEL", help=worst)
    parser.add_argument("--strict", action="store_true", help="report every unordered pair, and as an error")
    package = "also watch this package, module or folder; may be repeated"
    parser.add_argument("--include", action="append", default=[], metavar="NAME", help=package)
    parser.add_argument(
        "--exclude", action="append", default=[], metavar="NAME", help="do not watch this one"
    )
    sample = "look at hot code now and then only: a tenth slower or so, and finds less"
    parser.add_argument("--sample", action="store_true", help=sample)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the findings to FILE as JSON")
    parser.add_argument(
        "--sarif", type=Path, metavar="FILE", help="write the findings to FILE as SARIF 2.1.0"
    )
    parser.add_argument("--github", action="store_true", help="also print them as annotations for GitHub")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write the findings to FILE as a page")
    parser.add_argument(
        "-m", dest="module", action="store_true", help="what follows is a module, as for python -m"
    )
    parser.add_argument("-c", dest="code", action="store_true", help="what follows is code, as for python -c")
    parser.add_argument("program", metavar="script.py", help="the program to watch")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="the program's own arguments")


def run(args: argparse.Namespace) -> int:
    program, root = prepare(args)
    session = Session(Scope([root, os.getcwd()], args.include, args.exclude), sample=args.sample)
    try:
        session.start()
        code = exit_code(lambda: program(session))
        session.stop()
    except (UnsupportedError, SelfTestError) as error:
        raise UsageError(str(error)) from None
    findings = session.findings(args.strict)
    report(findings, args)
    bad = any(finding.severity >= SEVERITIES[args.severity] for finding in findings)
    return RACE_FOUND if bad else code


Program = Callable[[Session], None]


def prepare(args: argparse.Namespace) -> tuple[Program, str]:
    """What to run, and the folder whose code is the program's own; sys is as the program expects it."""
    sys.argv = [args.program, *args.arguments]
    if args.module:
        sys.path.insert(0, os.getcwd())
        return lambda session: run_module(args.program), os.getcwd()
    if args.code:
        sys.argv[0] = "-c"
        sys.path.insert(0, "")
        return lambda session: run_code(compile(args.program, "<string>", "exec"), None, session), os.getcwd()
    path = os.path.abspath(args.program)
    try:
        source = Path(path).read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {args.program!r}: {error.strerror}") from None
    sys.path.insert(0, os.path.dirname(path))
    return lambda session: run_code(compile(source, path, "exec"), path, session), os.path.dirname(path)


def run_module(name: str) -> None:
    runpy.run_module(name, run_name="__main__", alter_sys=True)


def run_code(code: CodeType, path: str | None, session: Session) -> None:
    """Run it as the module __main__ of a fresh interpreter."""
    main = ModuleType("__main__")
    if path:
        main.__file__ = path
    main.__dict__["__builtins__"] = __builtins__
    sys.modules["__main__"] = main
    session.know(code)
    exec(code, main.__dict__)


def exit_code(program: Callable[[], None]) -> int:
    """Run it to its end, other threads included, and return what the interpreter would have exited with."""
    try:
        program()
        code = 0
    except SystemExit as stop:
        code = code_of(stop)
    except (UnsupportedError, SelfTestError):
        raise
    except BaseException as error:
        show(error)
        code = 1
    wait_for_threads()
    return code


def code_of(stop: SystemExit) -> int:
    if stop.code is None or isinstance(stop.code, int):
        return stop.code or 0
    print(stop.code, file=sys.stderr)
    return 1


def show(error: BaseException) -> None:
    """Print it as the interpreter does, without the frames that are ours."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    traceback.print_exception(type(error), error, trace)


def wait_for_threads() -> None:
    """As the interpreter does at its end: all that are not daemons."""
    import threading

    for thread in threading.enumerate():
        if not thread.daemon and thread is not threading.current_thread():
            thread.join()


def report(findings: Sequence[Finding], args: argparse.Namespace) -> None:
    sys.stdout.flush()
    style = style_for(sys.stderr)
    for finding in findings:
        print(as_text(finding, style), end="\n\n", file=sys.stderr)
    if args.github:
        print(*map(as_github, findings), sep="\n", file=sys.stderr)
    if findings:
        print(f"threadproof race: {summary(findings)}", file=sys.stderr)
    if args.json:
        args.json.write_text(as_json(findings) + "\n", encoding="utf-8")
    if args.sarif:
        args.sarif.write_text(
            as_sarif(findings, "threadproof race", version("threadproof")) + "\n", encoding="utf-8"
        )
    if args.html:
        args.html.write_text(as_html(findings, "threadproof race") + "\n", encoding="utf-8")
