"""anyio, over asyncio and trio: functions in threads and back, a portal, memory streams."""

from __future__ import annotations

import sys
import threading
from contextlib import nullcontext

import anyio
import anyio.from_thread
import anyio.to_thread

RACY = "racy" in sys.argv
BACKEND = "trio" if "trio" in sys.argv else "asyncio"
lock = nullcontext() if RACY else threading.Lock()
together = threading.Barrier(3)  # or one thread may run all functions


class Totals:
    def __init__(self) -> None:
        self.in_threads = 0
        self.in_loop = 0


totals = Totals()


def in_thread(number: int) -> int:
    together.wait()
    with lock:
        totals.in_threads += 1
    return anyio.from_thread.run(back, number)


async def back(number: int) -> int:
    await anyio.sleep(0)
    totals.in_loop += 1
    return number * number


async def child(number: int, send) -> None:
    async with send:
        await send.send(await anyio.to_thread.run_sync(in_thread, number))


async def main() -> None:
    send, receive = anyio.create_memory_object_stream[int](2)
    results = []
    async with anyio.create_task_group() as group:
        async with send:
            for number in range(6):
                group.start_soon(child, number, send.clone())
        async with receive:
            results += [each async for each in receive]
    box = {"value": 1}

    def double() -> None:
        box["value"] *= 2

    for _ in range(5):
        await anyio.to_thread.run_sync(double)
        box["value"] += 1
    print("ran" if RACY else totals.in_threads, totals.in_loop, sum(results), box["value"])


anyio.run(main, backend=BACKEND)
with anyio.from_thread.start_blocking_portal(BACKEND) as portal:
    before = totals.in_loop
    futures = [portal.start_task_soon(back, number) for number in range(3)]
    print(sum(each.result() for each in futures), totals.in_loop - before)
