"""Looking at some of the accesses only, for programs that may not become slow.

Each instruction is judged until it has been seen some dozen times, and then runs as if nobody watched. From
time to time a new round begins, in which all are judged again for a while. Rare code is thus judged whenever
it runs, and hot code now and then. Synchronisation is never left out, so what is reported is a race; what is
missed may be found in the next run, or by the next process.

A round has a price, and the next one waits until the program has used so much CPU time that the price is a
small share of it: BUDGET. The first threads each begin one at once, so that none of them is overlooked.
"""

from __future__ import annotations

import math
import time
from _thread import allocate_lock, start_new_thread
from collections.abc import Callable

from threadproof import _core
from threadproof.race import patch

BURST = 10  # an instruction is judged so many times in a round, or up to twice as many
BUDGET = 0.05  # of the program's CPU time; what is watched all the time comes on top
PRICE = 5e-6  # seconds for each instruction that was given up: 2 us for giving it up, and its judgements
GIFTS = 20  # rounds that begin with a new thread, before the last one is paid for
TICK = 0.1  # seconds between two looks at the clock


class Sampler:
    """Begins rounds, from a thread of its own that the program does not see, between start() and stop()."""

    def __init__(self, restart: Callable[[], object], seed: int) -> None:
        """`restart()` has every instruction watched again; the seed says how long each one's bursts are."""
        self.restart, self.seed = restart, seed
        self.given_up = self.began = 0.0
        self.gifts = GIFTS
        self.running = allocate_lock()

    def start(self) -> None:
        self.running.acquire()
        self.begin_round()
        start_new_thread(self.run, ())

    def stop(self) -> None:
        """Judge all from now on."""
        self.running.release()
        _core.race_sample(0, self.seed)

    def run(self) -> None:
        with patch.quiet():
            while not self.running.acquire(timeout=TICK):
                self.next_round()

    def meet(self) -> None:
        """A thread is about to start."""
        if self.gifts:
            self.gifts -= 1
            self.began = -math.inf
        self.next_round()

    def next_round(self) -> None:
        """Begin a round if something was given up, and the price of that is a small share by now."""
        price = PRICE * (_core.race_given_up() - self.given_up)
        if 0 < price <= BUDGET * (time.process_time() - self.began):
            self.begin_round()
            self.restart()

    def begin_round(self) -> None:
        self.given_up = _core.race_sample(BURST, self.seed)
        self.began = time.process_time()
