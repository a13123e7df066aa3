"""Monitor: the checks, by a thread of their own, as long as the program runs."""

from __future__ import annotations

import logging
import os
import random
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from types import TracebackType
from typing import Any, Self

from threadproof.findings import Finding, Severity
from threadproof.stats import HasStats, Registry, Stats, counter, duration, gauge, registry
from threadproof.watch.allocations import with_allocations
from threadproof.watch.checks import CHECKS, Check
from threadproof.watch.engine import LENGTH, Changes, Engine, LimitChanges, Verdict
from threadproof.watch.key_sampling import hot_keys

log = logging.getLogger("threadproof.watch")

JITTER = 0.1  # of the interval: the processes of one service do not wake up together
INCLUDE_EVERY = 30  # evaluations: looking for unnamed structures stops all threads for some milliseconds


@dataclass(frozen=True, slots=True)
class MonitorStats(Stats):
    """The work of a Monitor."""

    evaluations: int = field(metadata=counter("evaluations", "times that all checks ran"))
    failures: int = field(metadata=counter("failures", "structures whose stats() raised"))
    callback_errors: int = field(metadata=counter("calls", "calls of on_finding and on_clear that raised"))
    findings: int = field(metadata=gauge("findings", "findings that there are now"))
    last_evaluation: float = field(metadata=duration("processor time of the last evaluation"))


class Monitor:
    """Checks all watched structures every `interval` seconds, in a daemon thread.

        with Monitor(on_finding=report):
            serve()

    `on_finding(finding)` is called in that thread for each finding that is new or has become worse,
    `on_clear(verdict)` when one has ended. Without `on_finding` they are logged. What the two raise is
    counted, and logged once.

    Several threads may use a monitor at once. It keeps no structure alive. A monitor that nothing else
    refers to stops. In a forked child it starts again, with no samples. `kinds` are types whose instances
    are watched without names. `limits={"leak": {"warn": 2.0}}` changes limits of checks, and None
    switches a check off. `sample_keys` seconds of each interval, one map's calls are sampled for hot
    keys. `confirm_leaks` adds to a leak the lines that allocate what the map holds; for that it traces
    allocations for a second, which slows them down meanwhile.
    """

    def __init__(
        self,
        interval: float = 10.0,
        on_finding: Callable[[Finding], object] | None = None,
        *,
        on_clear: Callable[[Verdict], object] | None = None,
        registry: Registry = registry,
        checks: Sequence[Check] = CHECKS,
        limits: LimitChanges | None = None,
        kinds: Iterable[type[HasStats]] = (),
        length: int = LENGTH,
        sample_keys: float = 0.0,
        confirm_leaks: bool = False,
    ) -> None:
        if not interval > 0:
            raise ValueError(f"Monitor() needs an interval of more than 0 seconds, got {interval}")
        if not 0 <= sample_keys <= interval:
            raise ValueError(
                f"sample_keys must be from 0 to the interval of {interval} seconds, got {sample_keys}"
            )
        self.interval = interval
        self._on_finding = on_finding or log_finding
        self._on_clear = on_clear
        self._make_engine = partial(Engine, registry, checks, limits, length)
        self._kinds = tuple(kinds)
        self._sample_keys = sample_keys
        self._confirm_leaks = confirm_leaks
        self._begin_anew()

    def _begin_anew(self) -> None:
        self.engine = self._make_engine()
        self._lock = threading.Lock()  # of all below; never held while a check, a callback or stats() runs
        self._stop: threading.Event | None = None
        self._evaluations = self._failures = self._callback_errors = 0
        self._last_evaluation = 0.0
        self._next_sampled = 0

    # --- the thread ---

    def start(self) -> Self:
        """Begin; nothing happens if it runs already."""
        with self._lock:
            if self._stop is not None:
                return self
            stop = self._stop = threading.Event()
            running.add(self)
        target = (weakref.ref(self), stop)
        threading.Thread(target=run, args=target, name="threadproof monitor", daemon=True).start()
        return self

    def stop(self) -> None:
        """End; nothing happens if it does not run. Does not wait for an evaluation that is running."""
        with self._lock:
            stop, self._stop = self._stop, None
            running.discard(self)
        if stop is not None:
            stop.set()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def __del__(self) -> None:
        stop = getattr(self, "_stop", None)
        if stop is not None:
            stop.set()

    # --- an evaluation ---

    def evaluate(self) -> Changes:
        """Take a sample and run the checks now, in this thread; the callbacks are called."""
        with self._lock:
            evaluation = self._evaluations
            self._evaluations += 1
        if evaluation % INCLUDE_EVERY == 0:
            for kind in self._kinds:
                self.engine.registry.include(kind)
        began = time.thread_time()
        changes = self.engine.evaluate()
        with self._lock:
            self._last_evaluation = time.thread_time() - began
            self._failures += changes.failures
        for finding in changes.raised:
            self._call(self._on_finding, self._confirmed(finding))
        for verdict in changes.cleared if self._on_clear is not None else ():
            self._call(self._on_clear, verdict)
        return changes

    def _confirmed(self, finding: Finding) -> Finding:
        if not (self._confirm_leaks and finding.rule == "leak"):
            return finding
        found = [each.structure for each in self.engine.structures() if each.label == finding.subject]
        return with_allocations(finding, found[0]) if found else finding

    def _call(self, function: Callable[[Any], object] | None, argument: Any) -> None:
        try:
            if function is not None:
                function(argument)
        except Exception:
            with self._lock:
                first = self._callback_errors == 0
                self._callback_errors += 1
            if first:
                log.exception("a callback of a Monitor raised; further ones are only counted")

    def sample_keys(self) -> None:
        """Sample the keys of one map, the next one in turn; blocks for the seconds of the constructor."""
        maps = [each.structure for each in self.engine.structures() if hasattr(each.structure, "__getitem__")]
        if not (self._sample_keys and maps):
            return
        with self._lock:
            self._next_sampled += 1
            chosen = maps[self._next_sampled % len(maps)]
        del maps
        # Not if its class cannot be replaced, or somebody else is sampling it.
        with suppress(TypeError, RuntimeError):
            self.engine.add_hot_keys(chosen, hot_keys(chosen, self._sample_keys, every=1))

    # --- results ---

    @property
    def findings(self) -> list[Finding]:
        """The findings that there are now, the worst first."""
        return self.engine.findings

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """The verdict of each check about each structure, of the last evaluation."""
        return self.engine.verdicts

    def stats(self) -> MonitorStats:
        """Counts of its own work."""
        return MonitorStats(
            self._evaluations,
            self._failures,
            self._callback_errors,
            len(self.findings),
            self._last_evaluation,
        )


def log_finding(finding: Finding) -> None:
    level = logging.ERROR if finding.severity >= Severity.ERROR else logging.WARNING
    log.log(level, "%s: %s: %s", finding.rule, finding.message, finding.why)


# --- the thread, which holds the monitor only while it works ---


def run(reference: weakref.ref[Monitor], stop: threading.Event) -> None:
    pause = 0.0
    while not stop.wait(pause):
        monitor = reference()
        if monitor is None:
            return
        began = time.monotonic()
        try:
            monitor.evaluate()
            if not stop.is_set():
                monitor.sample_keys()
        except Exception:
            log.exception("an evaluation of a Monitor failed; it goes on")
        spread = random.uniform(1 - JITTER, 1 + JITTER)
        pause = max(0.0, monitor.interval * spread - (time.monotonic() - began))
        del monitor


running: weakref.WeakSet[Monitor] = weakref.WeakSet()


def start_in_child() -> None:
    """The parent's thread is not in a forked child."""
    for monitor in list(running):
        monitor._begin_anew()
        monitor.start()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=start_in_child)
