"""A Python program, run in this process as `python` would run it: its arguments, its output, its exit code.

For commands that observe a program. Reports leave out the frames of this package (see race/explain.py).
"""

from __future__ import annotations

import argparse
import atexit
import builtins
import linecache
import os
import pkgutil
import runpy
import sys
import threading
from collections.abc import Callable
from importlib.machinery import BuiltinImporter, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType

from threadproof import _core
from threadproof.cli import UsageError
from threadproof.findings import ExitCode

OnCode = Callable[[CodeType], None]  # called with the code of __main__, before it runs


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the program and its arguments, which end the command's own."""
    parser.usage = (
        f"{parser.prog} [options] (script.py | folder | app.zip | -m module | -c code | -) [arguments]"
    )
    module, code = "the program is a module, as for python -m", "the program is code, as for python -c"
    parser.add_argument("-m", dest="module", action="store_true", help=module)
    parser.add_argument("-c", dest="code", action="store_true", help=code)
    parser.add_argument("program", metavar="script.py", help="the program to run; - for stdin")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="the program's own arguments")


class Program:
    """The program to run. `folder` has the program's own code: the script's folder, or the current one.

    Making one sets sys.argv and sys.path as the program expects them. UsageError if it cannot be read.
    """

    def __init__(self, args: argparse.Namespace) -> None:
        sys.argv = [args.program, *args.arguments]
        self.folder = current_folder()
        self._start: Callable[[OnCode], None]
        if args.module:
            put_first(self.folder)
            self._start = lambda on_code: run_module(args.program)
        elif args.code:
            sys.argv[0] = "-c"
            put_first("")
            self._start = lambda on_code: run_command(args.program, on_code)
        elif args.program == "-":
            put_first("")
            self._start = lambda on_code: run_stdin(on_code)
        elif has_modules(args.program):
            self.folder = os.path.abspath(args.program)
            # also where sys.flags.safe_path is set, as the interpreter does it
            sys.path[: not sys.flags.safe_path] = [self.folder]
            self._start = lambda on_code: run_module("__main__", alter_argv=False)
        else:
            path = os.path.abspath(args.program)
            source = source_of(path, args.program)
            self.folder = os.path.dirname(path)
            put_first(os.path.dirname(os.path.realpath(path)))
            self._start = lambda on_code: run_script(source, path, on_code)

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
        code = ended_by(lambda: self._start(on_code), refusals)
        return ended_by(lambda: shut_down(before_exit), refusals) or code


def ended_by(part: Callable[[], None], refusals: tuple[type[BaseException], ...]) -> int:
    """Run a part of the program; the exit code that it leaves. An exception that ends it is printed."""
    try:
        part()
        return 0
    except SystemExit as stop:
        return code_of(stop)
    except refusals:
        raise
    except BaseException as error:
        ended = error
    show(ended)  # here the exception is not being handled any more: a hook would see that
    return ExitCode.INTERRUPTED if isinstance(ended, KeyboardInterrupt) else 1


def source_of(path: str, shown: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {shown!r}: {error.strerror}") from None


def current_folder() -> str:
    """Empty if it does not exist any more."""
    try:
        return os.getcwd()
    except OSError:
        return ""


def put_first(folder: str) -> None:
    """The interpreter's first entry is where this command is; the program's is put in its place."""
    if not sys.flags.safe_path:
        sys.path[:1] = [folder]


def has_modules(path: str) -> bool:
    """Whether it is a folder or an archive, in which the interpreter looks for __main__."""
    return pkgutil.get_importer(path) is not None if path else False


def run_module(name: str, alter_argv: bool = True) -> None:
    """As `python -m` does it; tracebacks show that."""
    main = ModuleType("__main__")
    main.__dict__["__builtins__"] = builtins
    sys.modules["__main__"] = main
    outermost(runpy._run_module_as_main, name, alter_argv)  # type: ignore[attr-defined]


def run_command(source: str, on_code: OnCode) -> None:
    code = compile(source, "<string>", "exec", dont_inherit=True)
    linecache._register_code(code, source, "<string>")  # type: ignore[attr-defined] # as `python -c` does
    run_code(code, {"__loader__": BuiltinImporter}, on_code)


def run_stdin(on_code: OnCode) -> None:
    stream = getattr(sys.stdin, "buffer", None)
    code = compile(stream.read() if stream else "", "<stdin>", "exec", dont_inherit=True)
    run_code(code, {"__loader__": BuiltinImporter, "__file__": "<stdin>"} | CACHED, on_code)


def run_script(source: bytes, path: str, on_code: OnCode) -> None:
    code = compile(source, path, "exec", dont_inherit=True)
    loader = SourceFileLoader("__main__", path)
    run_code(code, {"__loader__": loader, "__file__": path} | CACHED, on_code)


# Since 3.15 a module has no such attribute.
CACHED: dict[str, object] = {"__cached__": None} if sys.version_info < (3, 15) else {}


def run_code(code: CodeType, attributes: dict[str, object], on_code: OnCode) -> None:
    """Run it as the module __main__ of a new interpreter."""
    main = ModuleType("__main__")
    main.__dict__.update(attributes, __builtins__=builtins)
    sys.modules["__main__"] = main
    on_code(code)
    outermost(exec, code, main.__dict__)


def outermost(function: Callable[..., object], *args: object) -> None:
    """Call it so that no frame of this command is visible to it, nor counts for the recursion limit."""
    call = getattr(_core.probe, "call_outermost", None)  # where the probe knows the interpreter
    if call:
        call(function, *args)
    else:
        function(*args)


def code_of(stop: SystemExit) -> int:
    if stop.code is None or isinstance(stop.code, int):
        return stop.code or 0
    if sys.stderr is not None:
        print(stop.code, file=sys.stderr)
    else:
        os.write(2, f"{stop.code}\n".encode())  # where C code prints it then
    return 1


def show(error: BaseException) -> None:
    """Print the traceback as the interpreter does, without the frames of this module."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    error = error.with_traceback(trace)
    if hasattr(_core.probe, "print_exception"):
        _core.probe.print_exception(error)
    else:
        sys.excepthook(type(error), error, trace)


def shut_down(before_exit: Callable[[], None]) -> None:
    """As the interpreter does at its end: wait for all threads but daemons, then run atexit's functions."""
    outermost(threading._shutdown)  # type: ignore[attr-defined]
    before_exit()
    outermost(atexit._run_exitfuncs)
