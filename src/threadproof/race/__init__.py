"""The race detector: finds the accesses of one run that no synchronisation orders.

`threadproof race script.py` watches a program; `with threadproof.race.detect():` watches a part of one. An
access is judged by the synchronisation that the program used before it, not by the order in which threads
happened to run: a race is found in a run in which nothing went wrong, and a program that synchronises has
none.

For synchronisation that the detector cannot see, call `acquire(obj)` after waiting and `release(obj)` before
waking. A thread's steps before release(obj) are then ordered before another's steps after acquire(obj).
`with happens_before(obj):` is both, for a block from which a lock keeps other threads out. `ignore(reason)`
excludes accesses that need not be ordered.
"""

from __future__ import annotations

import html
import inspect
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ContextDecorator, contextmanager
from typing import Any, TypeVar

from threadproof import _core
from threadproof.findings import Finding, Severity, summary
from threadproof.findings.formats.text import as_texts
from threadproof.findings.groups import grouped
from threadproof.findings.model import current_folder
from threadproof.probe import Scope
from threadproof.probe import SelfTestError as SelfTestError
from threadproof.probe import UnsupportedError as UnsupportedError
from threadproof.race.session import Part, Session

__all__ = [
    "Detection",
    "acquire",
    "detect",
    "happens_before",
    "ignore",
    "release",
]

F = TypeVar("F", bound=Callable[..., Any])


class Detection:
    """The result of `detect()`: after the block, `findings` has the findings, the worst first."""

    def __init__(self) -> None:
        self.findings: list[Finding] = []
        self.watched = ""  # one line: what was watched, and what was not

    def report(self) -> str:
        """The findings as the command prints them, and what was watched."""
        return "\n\n".join([*as_texts(self.findings), f"{summary(self.findings)}; {self.watched}"])

    def check(self, severity: Severity = Severity.WARNING) -> None:
        """AssertionError with the report if a finding is at least this bad."""
        if any(finding.severity >= severity for finding in self.findings):
            raise AssertionError(f"data races:\n\n{self.report()}")

    def __str__(self) -> str:
        return self.report()

    def __repr__(self) -> str:
        return f"<Detection: {summary(self.findings)}; {self.watched}>"

    def _repr_html_(self) -> str:
        """For a notebook: the report, with its white space."""
        return f"<pre>{html.escape(self.report())}</pre>"


@contextmanager
def detect(
    *,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    strict: bool = False,
    sample: bool = False,
    seed: int = 0,
    order_io: bool = False,
) -> Iterator[Detection]:
    """Watch the program in the block; one block at a time, from any thread.

    Code in the folder of the caller and below the current one is watched, code without a file (of a REPL, a
    notebook, exec), and what `include` names (packages or paths); not the standard library and installed
    packages. With `sample`, hot code is looked at only now and then, which costs little and finds less; the
    seed chooses when. With `order_io`, whoever reads bytes from a socket, a pipe or a file comes after all
    threads that have written some before. UnsupportedError before CPython 3.14. Inside `threadproof race` or
    `pytest --race`, the findings of the block are its own, and not the command's; so are the options.
    """
    caller = sys._getframe(2).f_code.co_filename
    roots = [folder_of(caller), current_folder()]
    scope = Scope([root for root in roots if root], include, exclude)
    running = Session.running
    session: Session | Part = (
        running.part(scope) if running else Session(scope, sample=sample, seed=seed, order_io=order_io)
    )
    detection = Detection()
    session.start()
    try:
        yield detection
    finally:
        session.stop()
        detection.findings = grouped(session.findings(strict))
        detection.watched = session.summary()


def folder_of(filename: str) -> str:
    """Empty for code that is in no file."""
    return "" if filename.startswith("<") else os.path.dirname(os.path.abspath(filename))


def acquire(sync: object) -> None:
    """Order other threads' steps until their release(sync) before this thread's next steps. Never blocks."""
    if Session.running:
        _core.probe.observe(sync)


def release(sync: object) -> None:
    """Order this thread's steps so far before others' steps after their acquire(sync). Never blocks."""
    if Session.running:
        _core.probe.publish(sync)


@contextmanager
def happens_before(sync: object) -> Iterator[None]:
    """Declare that the `with` blocks of one object run one after the other.

    For a lock of another library, or of C code: take it first, then enter the block. It is acquire() at its
    begin and release() at its end, but does not exclude other threads itself.
    """
    acquire(sync)
    try:
        yield
    finally:
        release(sync)


class ignore(ContextDecorator):  # noqa: N801 - it is used as a function is
    """Excludes this thread's accesses in the block, or in the decorated function, from all races.

    The reason is for readers of the code. Locks acquired inside still order; other threads' accesses to the
    same variables are still judged against each other. A generator or a coroutine runs in pieces, among which
    the thread does other things, so it cannot be decorated: use a block in it that neither yields nor awaits.
    """

    def __init__(self, reason: str) -> None:
        if not isinstance(reason, str):
            raise TypeError(
                f'race.ignore() wants the reason, as in race.ignore("only for statistics"), got {reason!r}'
            )
        self.reason = reason
        self.watched = False

    def __enter__(self) -> None:
        self.watched = Session.running is not None
        if self.watched:
            _core.race.exclude(1)

    def __exit__(self, *error: object) -> None:
        if self.watched:
            _core.race.exclude(-1)

    def __call__(self, function: F) -> F:
        if inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function):
            raise TypeError(f"race.ignore() cannot decorate {function.__qualname__}(), which runs in pieces")
        return super().__call__(function)

    def _recreate_cm(self) -> ignore:
        """For each call of a decorated function, which many threads may call at once."""
        return ignore(self.reason)


def load_ipython_extension(shell: Any) -> None:
    """`%load_ext threadproof.race` gives notebooks `%%race`, which runs a cell and shows its races."""

    def race(line: str, cell: str) -> Detection:
        with detect(include=line.split()) as detection:
            shell.run_cell(cell)
        return detection

    shell.register_magic_function(race, magic_kind="cell")
