"""Run a function in several threads that start together, and collect all results and exceptions.

An exception of a thread is raised again in the caller, with the thread's name. If a thread has not ended by
the deadline, the test fails and prints every thread's stack, which shows the cause of the hang.
"""

import faulthandler
import os
import random
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

STDERR = 2  # the file descriptor, whatever sys.stderr is just now
PATIENCE = 300.0  # seconds; what takes longer hangs, even where a machine is slow and has much else to do
LAST_RESORT = 30.0  # seconds to print the stacks in; then the process is ended from outside Python


def hammer(work: Callable[[int], T], threads: int, *, deadline: float = PATIENCE) -> list[T]:
    """The results of `work(0)`, `work(1)`, ..., each in a thread of its own. Raises the first exception."""
    start = threading.Barrier(threads)
    results: dict[int, T] = {}
    errors: list[BaseException] = []

    def run(index: int) -> None:
        try:
            start.wait()
            results[index] = work(index)
        except BaseException as error:
            error.add_note(f"in thread {threading.current_thread().name}")
            errors.append(error)

    hands = [threading.Thread(target=run, args=[n], name=f"hammer-{n}", daemon=True) for n in range(threads)]
    for hand in hands:
        hand.start()
    late = _still_running(hands, deadline)
    if errors:
        raise errors[0]
    if late:
        dump_stacks()
        raise AssertionError(f"not done after {deadline} s: {late}; every thread's stack is on stderr")
    return [results[index] for index in range(threads)]


def _still_running(hands: list[threading.Thread], deadline: float) -> list[str]:
    give_up = time.monotonic() + deadline
    for hand in hands:
        hand.join(max(0.0, give_up - time.monotonic()))
    return [hand.name for hand in hands if hand.is_alive()]


def dump_stacks() -> None:
    """Print every thread's stack. If Python cannot even look at them, the process ends."""
    faulthandler.dump_traceback_later(LAST_RESORT, exit=True, file=STDERR)
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    for ident, frame in sys._current_frames().items():
        print(f"\nThread {names.get(ident, ident)}:", file=sys.stderr)
        traceback.print_stack(frame, file=sys.stderr)
    faulthandler.cancel_dump_traceback_later()


class Gate:
    """A barrier that a fixed set of threads can pass ten thousand times a second.

    Each thread counts its own arrivals, and none goes on before all have arrived as often.
    """

    def __init__(self, threads: int) -> None:
        self._arrivals = [0] * threads

    def wait(self, index: int) -> None:
        mine = self._arrivals[index] + 1
        self._arrivals[index] = mine
        while min(self._arrivals) < mine:
            pause()


_naps_left = 0


def pause() -> None:
    """Let another thread run.

    A yield takes some microseconds on an idle machine. Beside other processes each of them may run for its
    whole time slice first, which took up to 8 ms, and a nap of the shortest length 0.1 ms. So after a long
    yield 100 pauses are naps.
    """
    global _naps_left
    if _naps_left > 0:
        _naps_left -= 1
        time.sleep(1e-6)
        return
    begun = time.monotonic()
    os.sched_yield()
    if time.monotonic() - begun > 2e-4:  # longer than two naps
        _naps_left = 100


def seeded(seed: int | None) -> random.Random:
    """A source of random choices, from this seed or a new one, which is printed: for commands.

    Tests use the fixture `seed`.
    """
    seed = random.SystemRandom().randrange(2**32) if seed is None else seed
    print(f"seed {seed}")
    return random.Random(seed)
