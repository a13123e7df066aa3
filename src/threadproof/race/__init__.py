"""The race detector: which accesses of one run nothing puts in order.

`threadproof race script.py` watches a program; `with threadproof.race.detect():` watches a part of one. An
access is judged by the synchronisation that the program used before it, not by what happened to come first:
so a race is found in a run in which nothing went wrong, and a program that synchronises is left in peace.

For synchronisation that the detector cannot see, say so: `acquire(obj)` after waiting, `release(obj)` before
waking. All that a thread did before release(obj) then comes before all that another does after acquire(obj).
`with happens_before(obj):` is both, for a block that something keeps other threads out of.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from threadproof import _core
from threadproof.findings import Finding
from threadproof.race.selftest import SelfTestError
from threadproof.race.session import Scope, Session, UnsupportedError

__all__ = [
    "Detection",
    "SelfTestError",
    "UnsupportedError",
    "acquire",
    "detect",
    "happens_before",
    "release",
]


class Detection:
    """What `detect()` gives: after the block, `findings` has what was found, the worst first."""

    def __init__(self) -> None:
        self.findings: list[Finding] = []


@contextmanager
def detect(
    *, include: Sequence[str] = (), exclude: Sequence[str] = (), strict: bool = False
) -> Iterator[Detection]:
    """Watch what the program does in the block; one block at a time, from any thread.

    Code in the folder of the caller and below the current one is watched, and what `include` names (packages
    or paths); not the standard library and installed packages. UnsupportedError before CPython 3.14.
    """
    caller = os.path.dirname(os.path.abspath(sys._getframe(2).f_code.co_filename))
    session = Session(Scope([caller, os.getcwd()], include, exclude))
    detection = Detection()
    session.start()
    try:
        yield detection
    finally:
        session.stop()
        detection.findings = session.findings(strict)


def acquire(sync: object) -> None:
    """What any thread did before its release(sync) comes before what this one does now. Blocks on nobody."""
    if Session.running:
        _core.race_acquire(sync)


def release(sync: object) -> None:
    """What this thread has done comes before what others do after their acquire(sync). Blocks on nobody."""
    if Session.running:
        _core.race_release(sync)


@contextmanager
def happens_before(sync: object) -> Iterator[None]:
    """Say that the `with` blocks of one object run one after the other.

    For a lock of another library, or of C code: take it first, then enter the block. It is acquire() at its
    begin and release() at its end, and excludes nobody by itself.
    """
    acquire(sync)
    try:
        yield
    finally:
        release(sync)
