"""A session of the profiler: from its start to its stop, in this process."""

from __future__ import annotations

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

    def start(self) -> None:
        """RuntimeError if a profile runs already; UnsupportedError and SelfTestError where nothing can be seen."""
        with Profile._mutex:
            if Profile._running is not None:
                raise RuntimeError(
                    "a contention profile is running in this process already; stop() it first, "
                    "or read its report() while it runs"
                )
            blocking.start(self)
            Profile._running = self
        _core.contention.start(rows())

    def stop(self) -> None:
        """End the recording; doing so again changes nothing."""
        with Profile._mutex:
            if Profile._running is not self:
                return
            _core.contention.stop()
            Profile._running = None
            blocking.stop(self)
        self._record = recorded()

    def report(self) -> Report:
        """What was recorded so far. RuntimeError before start()."""
        if self._record is not None:
            return Report(self._record)
        if Profile._running is not self:
            raise RuntimeError("this profile has not been started; use it as `with contention.profile() as p:`")
        return Report(recorded())

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()


def profile() -> Profile:
    """A profile of where threads wait: `with profile() as p:`, then `p.report()`."""
    return Profile()
