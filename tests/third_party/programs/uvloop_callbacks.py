"""uvloop: callbacks from other threads, an executor, and coroutines from other threads."""

from __future__ import annotations

import asyncio
import sys
import threading
from contextlib import nullcontext

import uvloop

RACY = "racy" in sys.argv
lock = nullcontext() if RACY else threading.Lock()
together = threading.Barrier(2)  # or one thread of the executor may do all works


class Box:
    def __init__(self) -> None:
        self.steps = 0


class Totals:
    in_threads = 0
    in_loop = 0


totals = Totals()


def work(box: Box) -> Box:
    box.steps += 1
    with lock:
        totals.in_threads += 1
    return box


def work_together(box: Box) -> Box:
    together.wait()
    return work(box)


def give(loop: asyncio.AbstractEventLoop, line: asyncio.Queue) -> None:
    for _ in range(5):
        box = Box()
        box.steps += 1
        loop.call_soon_threadsafe(line.put_nowait, box)
    asyncio.run_coroutine_threadsafe(count(), loop).result()


async def count() -> None:
    totals.in_loop += 1


async def main() -> None:
    loop, line = asyncio.get_running_loop(), asyncio.Queue()
    givers = [threading.Thread(target=give, args=(loop, line)) for _ in range(2)]
    for each in givers:
        each.start()
    steps = 0
    for _ in range(10):
        box = await line.get()
        box.steps += 1
        steps += (await loop.run_in_executor(None, work, box)).steps
    for each in givers:
        await asyncio.to_thread(each.join)
    works = await asyncio.gather(*(loop.run_in_executor(None, work_together, Box()) for _ in range(4)))
    print(type(loop).__module__, steps, totals.in_loop, sum(each.steps for each in works), end=" ")
    print("ran" if RACY else totals.in_threads)


uvloop.run(main())
