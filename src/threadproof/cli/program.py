"""A Python program, run in this process as `python` would run it: its arguments, its output, its exit code.

For commands that observe a program. Reports leave out the frames of this package (see race/explain.py).
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

from threadproof.cli import UsageError
from threadproof.findings import ExitCode

OnCode = Callable[[CodeType], None]  # called with the code of __main__, before it runs


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the program and its arguments, which end the command's own."""
    parser.usage = f"{parser.prog} [options] (script.py | -m module | -c code) [arguments]"
    module, code = "the program is a module, as for python -m", "the program is code, as for python -c"
    parser.add_argument("-m", dest="module", action="store_true", help=module)
    parser.add_argument("-c", dest="code", action="store_true", help=code)
    parser.add_argument("program", metavar="script.py", help="the program to run")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="the program's own arguments")


class Program:
    """The program to run. `folder` has the program's own code: the script's folder, or the current one.

    Making one sets sys.argv and sys.path as the program expects them. UsageError if it cannot be read.
    """

    def __init__(self, args: argparse.Namespace) -> None:
        sys.argv = [args.program, *args.arguments]
        self.folder = os.getcwd()
        self._start: Callable[[OnCode], None]
        if args.module:
            sys.path.insert(0, os.getcwd())
            self._start = lambda on_code: run_module(args.program)
        elif args.code:
            sys.argv[0] = "-c"
            sys.path.insert(0, "")
            self._start = lambda on_code: run_command(args.program, on_code)
        else:
            path = os.path.abspath(args.program)
            source = source_of(path, args.program)
            self.folder = os.path.dirname(path)
            sys.path.insert(0, self.folder)
            self._start = lambda on_code: run_code(compile(source, path, "exec"), path, on_code)

    def run(
        self,
        on_code: OnCode,
        before_exit: Callable[[], None],
        refusals: tuple[type[BaseException], ...],
    ) -> int:
        """Run it to its end, and return the exit code that the interpreter would have.

        `before_exit` is called when all threads but daemons have ended, before atexit's functions. Exceptions
        that are `refusals` come from the command, not from the program, and reach the caller.
        """
        try:
            self._start(on_code)
            code = 0
        except SystemExit as stop:
            code = code_of(stop)
        except refusals:
            raise
        except BaseException as error:
            show(error)
            code = ExitCode.INTERRUPTED if isinstance(error, KeyboardInterrupt) else 1
        try:
            shut_down(before_exit)
        except KeyboardInterrupt as error:
            show(error)
            code = ExitCode.INTERRUPTED
        return code


def source_of(path: str, shown: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {shown!r}: {error.strerror}") from None


def run_module(name: str) -> None:
    """As `python -m` does it; tracebacks show that."""
    sys.modules["__main__"] = ModuleType("__main__")
    runpy._run_module_as_main(name)  # type: ignore[attr-defined]


def run_command(source: str, on_code: OnCode) -> None:
    code = compile(source, "<string>", "exec")
    linecache._register_code(code, source, "<string>")  # type: ignore[attr-defined] # as `python -c` does
    run_code(code, None, on_code)


def run_code(code: CodeType, path: str | None, on_code: OnCode) -> None:
    """Run it as the module __main__ of a new interpreter."""
    main = ModuleType("__main__")
    if path:
        main.__file__ = path
    main.__dict__["__builtins__"] = __builtins__
    sys.modules["__main__"] = main
    on_code(code)
    exec(code, main.__dict__)


def code_of(stop: SystemExit) -> int:
    if stop.code is None or isinstance(stop.code, int):
        return stop.code or 0
    print(stop.code, file=sys.stderr)
    return 1


def show(error: BaseException) -> None:
    """Print the traceback as the interpreter does, without the frames of this module."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    sys.excepthook(type(error), error.with_traceback(trace), trace)


def shut_down(before_exit: Callable[[], None]) -> None:
    """As the interpreter does at its end: wait for all threads but daemons, then run atexit's functions."""
    threading._shutdown()  # type: ignore[attr-defined]
    before_exit()
    atexit._run_exitfuncs()
