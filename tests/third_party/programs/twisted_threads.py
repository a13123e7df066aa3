"""twisted: functions in the reactor's pool of threads, and back."""

from __future__ import annotations

import sys
import threading
from contextlib import nullcontext

from twisted.internet import defer, reactor, threads

RACY = "racy" in sys.argv
lock = nullcontext() if RACY else threading.Lock()
together = threading.Barrier(3)  # or one thread of the pool may run all functions


class Totals:
    def __init__(self) -> None:
        self.in_threads = 0
        self.in_reactor = 0


class Box:
    def __init__(self) -> None:
        self.value = 1


totals = Totals()


def in_thread(number: int) -> int:
    together.wait()
    with lock:
        totals.in_threads += 1
    reactor.callFromThread(back)
    return threads.blockingCallFromThread(reactor, square, number)


def back() -> None:
    totals.in_reactor += 1


def square(number: int) -> int:
    totals.in_reactor += 1
    return number * number


def double(box: Box) -> Box:
    box.value *= 2
    return box


@defer.inlineCallbacks
def main():
    results = yield defer.gatherResults([threads.deferToThread(in_thread, number) for number in range(6)])
    box = Box()
    for _ in range(5):
        yield threads.deferToThread(double, box)
        box.value += 1
    print("ran" if RACY else totals.in_threads, totals.in_reactor, sum(results), box.value)
    reactor.stop()


def failed(failure) -> None:
    failure.printTraceback()
    reactor.stop()


reactor.callWhenRunning(lambda: main().addErrback(failed))
reactor.run()
