"""Sampling: judges some of the accesses, for programs that must not become slow.

Each instruction is judged in a burst of some dozen executions, and then runs as if it were not watched. From
time to time a new round begins, in which all are judged again. So rare code is judged whenever it runs, and
hot code now and then. Synchronisation is always recorded, so every report is a real race. The next run may
find a race that this one missed.

A round has a cost, and the next one waits until the program has used so much CPU time that the cost is a
small share of it: SHARE. Each of the first threads begins a round at once, so that none of them is
overlooked.
"""

from __future__ import annotations

import math
import os
import time
from _thread import allocate_lock, start_new_thread
from collections.abc import Callable

from threadproof import _core
from threadproof.probe.instrumentation import suspended

BURST = 10  # executions of an instruction that are judged in a round; up to twice as many
SHARE = 0.05  # of the program's CPU time that rounds may cost; synchronisation comes on top
COST = 5e-6  # seconds for each site that was given up: 2 us to give it up, the rest for its judgements
FREE_ROUNDS = 20  # that begin with a new thread, whatever the last one cost
TICK = 0.1  # seconds between two readings of the clock


class Sampler:
    """Begins rounds, from a thread that is hidden from the program, between start() and stop()."""

    def __init__(self, restart: Callable[[], object], seed: int) -> None:
        """`restart()` restarts the judgement of every instruction; the seed decides the lengths of bursts."""
        self.restart, self.seed = restart, seed
        self.given_up = self.began = 0.0
        self.free_rounds = FREE_ROUNDS
        self.process = 0
        self.bursts_before = _core.probe.sites_given_up()
        self.running, self.ended = allocate_lock(), allocate_lock()

    def start(self) -> None:
        self.process = os.getpid()
        self.begin_round()
        self.running.acquire()
        self.ended.acquire()
        try:
            with suspended():
                start_new_thread(self.run, ())
        except BaseException:
            self.running.release()
            self.ended.release()
            raise

    def stop(self) -> None:
        """Judge all accesses from now on. Waits for the thread, which may be beginning a last round."""
        self.running.release()
        if os.getpid() == self.process:  # in a forked child the thread does not run
            self.ended.acquire()
        _core.race.sample(0, self.seed)

    def coverage(self) -> str:
        """How much was judged: an instruction that ran seldom was judged whenever it ran."""
        sites, sampled = _core.probe.count_sites(), _core.probe.sites_sampled()
        share = 100 if not sampled else min(99, 100 * (sites - sampled) // sites)
        bursts = _core.probe.sites_given_up() - self.bursts_before
        return (
            f"a sample: {share} % of the watched instructions were judged whenever they ran, "
            f"the others in {bursts:,} bursts"
        )

    def run(self) -> None:
        with suspended():
            while not self.running.acquire(timeout=TICK):
                self.next_round()
            self.ended.release()

    def thread_starts(self) -> None:
        if self.free_rounds:
            self.free_rounds -= 1  # lint: ignore[CM103] one round too many does no harm
            self.began = -math.inf
        self.next_round()

    def next_round(self) -> None:
        """Begin a round if sites were given up, and the cost of that is a small share by now."""
        cost = COST * (_core.probe.sites_given_up() - self.given_up)
        if 0 < cost <= SHARE * (time.process_time() - self.began):
            self.begin_round()
            self.restart()

    def begin_round(self) -> None:
        self.given_up = _core.probe.sites_given_up()
        _core.race.sample(BURST, self.seed)
        self.began = time.process_time()
