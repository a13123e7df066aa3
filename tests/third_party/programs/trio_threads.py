"""trio: functions in its threads, and back; cancellation; a limiter."""

from __future__ import annotations

import sys
import threading
from contextlib import nullcontext

import trio

RACY = "racy" in sys.argv
lock = nullcontext() if RACY else threading.Lock()
together = threading.Barrier(3)  # or one thread may run all functions


class Totals:
    def __init__(self) -> None:
        self.in_threads = 0
        self.in_loop = 0
        self.last = ""


totals = Totals()


def in_thread(number: int) -> int:
    together.wait()
    with lock:
        totals.in_threads += 1
    trio.from_thread.run_sync(back, number)
    return trio.from_thread.run(back_later, number)


def back(number: int) -> None:
    totals.in_loop += 1


async def back_later(number: int) -> int:
    await trio.sleep(0)
    totals.in_loop += 1
    return number * number


async def child(number: int, results: dict[int, int]) -> None:
    totals.last = f"before {number}"
    results[number] = await trio.to_thread.run_sync(in_thread, number)
    totals.last = f"after {number}"


async def main() -> None:
    results: dict[int, int] = {}
    async with trio.open_nursery() as nursery:
        for number in range(6):
            nursery.start_soon(child, number, results)
    box = {"value": 1}  # handed over, there and back, one after the other

    def double() -> None:
        box["value"] *= 2

    for _ in range(5):
        await trio.to_thread.run_sync(double)
        box["value"] += 1
    print("ran" if RACY else totals.in_threads, totals.in_loop, sum(results.values()), box["value"])


trio.run(main)
