"""A session of the profiler: from its start to its stop, in this process."""

from __future__ import annotations

import os
import threading
from types import TracebackType
from typing import Self

from threadproof import _core
from threadproof.probe import blocking
from threadproof.probe.library.waiting import rows
from threadproof.watch.contention.record import Record, recorded
from threadproof.watch.contention.report import Report


class Profile:
    """Records from start() to stop(); `with` calls both. One at a time can run in a process."""

    _running: Profile | None = None
    _mutex = threading.Lock()

    def __init__(self) -> None:
        self._record: Record | None = None
        self._samples = True  # whether this system lets the sampler work, as far as is known

    def start(self) -> None:
        """RuntimeError if a profile runs already; UnsupportedError or SelfTestError where that is so."""
        with Profile._mutex:
            if Profile._running is not None:
                raise RuntimeError(
                    "a contention profile is running in this process already; stop() it first, "
                    "or read its report() while it runs"
                )
            blocking.start(self)
            Profile._running = self
        follow_forks()
        _core.contention.forget_samples()
        _core.contention.start(rows())
        if threading.active_count() > 1:
            self.thread_starts()

    def thread_starts(self) -> None:
        """Called before a thread starts: while there is one, there is nothing to sample."""
        self._samples = _core.contention.start_sampler()

    def stop(self) -> None:
        """End the recording; doing so again changes nothing."""
        with Profile._mutex:
            if Profile._running is not self:
                return
            _core.contention.stop_sampler()
            _core.contention.stop()
            Profile._running = None
            blocking.stop(self)
        self._record = recorded(self._samples)

    def report(self) -> Report:
        """What was recorded so far. RuntimeError before start()."""
        if self._record is not None:
            return Report(self._record)
        if Profile._running is not self:
            raise RuntimeError(
                "this profile has not been started; use it as `with contention.profile() as p:`"
            )
        return Report(recorded(self._samples))

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()


following = False  # whether forks are followed


def follow_forks() -> None:
    """A process that forks has no thread that the program does not know; once for the process."""
    global following
    if not following:
        following = True
        os.register_at_fork(
            before=_core.contention.stop_sampler, after_in_parent=resume, after_in_child=abandon
        )


def resume() -> None:
    if Profile._running is not None and threading.active_count() > 1:
        Profile._running.thread_starts()


def abandon() -> None:
    """The child is not profiled, and may start a profile of its own."""
    Profile._mutex = threading.Lock()
    if Profile._running is not None:
        blocking.stop(Profile._running)
        Profile._running = None


def profile() -> Profile:
    """A new profile of where threads wait, not started yet; `with` starts and stops it."""
    return Profile()
