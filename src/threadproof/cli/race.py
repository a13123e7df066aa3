"""`threadproof race`: run a program unchanged, and report the data races of that run.

The program runs in this very process, as `python` would run it: its arguments, its exit code, its output.
Races are reported on stderr when it ends. The exit code is 66 if one was found at or above --severity, else
the program's own.
"""

from __future__ import annotations

import argparse
import atexit
import linecache
import os
import runpy
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import CodeType, ModuleType

from threadproof.cli import INTERRUPTED, UsageError
from threadproof.findings.suppress import SuppressionError
from threadproof.race import SelfTestError, UnsupportedError, acquire
from threadproof.race.options import OPTIONS, OptionError, options_from, truth
from threadproof.race.report import RACE_FOUND, Reporter
from threadproof.race.session import Scope, Session


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.usage = f"{parser.prog} [options] (script.py | -m module | -c code) [arguments]"
    for name, option in OPTIONS.items():
        flag = f"--{name.replace('_', '-')}"
        if option.parse is truth:
            parser.add_argument(flag, action="store_true", help=option.help)
        else:
            action = "append" if option.many else "store"
            parser.add_argument(
                flag, action=action, type=option.parse, metavar=option.metavar, help=option.help
            )
    module, code = ("what follows is a module, as for python -m", "what follows is code, as for python -c")
    parser.add_argument("-m", dest="module", action="store_true", help=module)
    parser.add_argument("-c", dest="code", action="store_true", help=code)
    parser.add_argument("program", metavar="script.py", help="the program to watch")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="the program's own arguments")
    try:
        parser.set_defaults(**options_from(os.environ))
    except OptionError as error:
        raise UsageError(str(error)) from None


def run(args: argparse.Namespace) -> int:
    try:
        reporter = Reporter(vars(args))
        program, root = prepare(args)
        scope = Scope([root, os.getcwd()], args.include, args.exclude)
        session = Session(scope, history=args.history, sample=args.sample)
        session.on_race = Halt(session, reporter) if args.halt_on_error else None
        session.start()
        code = exit_code(lambda: program(session), lambda: shut_down(session))
        session.stop()
        if session.refused:
            raise session.refused
    except (UnsupportedError, SelfTestError, SuppressionError) as error:
        raise UsageError(str(error)) from None
    findings = reporter.findings(session)
    try:
        reporter.publish(findings, reporter.suppressions.unused(session.watched_files()))
    except OSError as error:
        raise UsageError(f"cannot write {error.filename!r}: {error.strerror}") from None
    return RACE_FOUND if any(map(reporter.is_bad, findings)) else code


class Halt:
    """Ends the program at the first race that counts. Called by the thread that raced, in the midst of it."""

    def __init__(self, session: Session, reporter: Reporter) -> None:
        self.session, self.reporter = session, reporter
        self.once = threading.Lock()

    def __call__(self) -> None:
        findings = self.reporter.findings(self.session)
        if any(map(self.reporter.is_bad, findings)) and self.once.acquire(blocking=False):
            self.reporter.publish(findings)
            sys.stderr.flush()
            os._exit(RACE_FOUND)


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
        return lambda session: run_command(args.program, session), os.getcwd()
    path = os.path.abspath(args.program)
    try:
        source = Path(path).read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {args.program!r}: {error.strerror}") from None
    sys.path.insert(0, os.path.dirname(path))
    return lambda session: run_code(compile(source, path, "exec"), path, session), os.path.dirname(path)


def run_module(name: str) -> None:
    """As `python -m` does it, which shows in tracebacks."""
    sys.modules["__main__"] = ModuleType("__main__")
    runpy._run_module_as_main(name)  # type: ignore[attr-defined]


def run_command(source: str, session: Session) -> None:
    code = compile(source, "<string>", "exec")
    linecache._register_code(code, source, "<string>")  # type: ignore[attr-defined] # as `python -c` does
    run_code(code, None, session)


def run_code(code: CodeType, path: str | None, session: Session) -> None:
    """Run it as the module __main__ of a fresh interpreter."""
    main = ModuleType("__main__")
    if path:
        main.__file__ = path
    main.__dict__["__builtins__"] = __builtins__
    sys.modules["__main__"] = main
    session.know(code)
    exec(code, main.__dict__)


def exit_code(program: Callable[[], None], shut_down: Callable[[], None]) -> int:
    """Run it, and what is left to do at its end; return what the interpreter would have exited with."""
    try:
        program()
        code = 0
    except SystemExit as stop:
        code = code_of(stop)
    except (UnsupportedError, SelfTestError):
        raise
    except BaseException as error:
        show(error)
        code = INTERRUPTED if isinstance(error, KeyboardInterrupt) else 1
    try:
        shut_down()
    except KeyboardInterrupt as error:
        show(error)
        code = INTERRUPTED
    return code


def code_of(stop: SystemExit) -> int:
    if stop.code is None or isinstance(stop.code, int):
        return stop.code or 0
    print(stop.code, file=sys.stderr)
    return 1


def show(error: BaseException) -> None:
    """Have it shown as the interpreter does, without the frames that are ours."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    sys.excepthook(type(error), error.with_traceback(trace), trace)


def shut_down(session: Session) -> None:
    """As the interpreter does at its end: wait for all threads but daemons, then call what atexit has."""
    threading._shutdown()  # type: ignore[attr-defined]
    session.note_ends()
    acquire(atexit)  # which whoever registered something has released
    atexit._run_exitfuncs()
