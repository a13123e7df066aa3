"""Threads, queues, executors and event loops: work and results that go from one thread to another."""

from __future__ import annotations

import asyncio
import queue
import threading
from concurrent.futures import Future, ThreadPoolExecutor, as_completed

from tests.race.schedule import Box, Gate, reports, run


def no_race_start_publishes() -> None:
    box = Box(v=7)

    def read() -> None:
        assert box.v == 7

    run(read, read)


@reports("unordered-read")
def race_store_after_start() -> None:
    box = Box(v=0)
    thread = threading.Thread(target=lambda: box.v)
    thread.start()
    box.v = 1
    thread.join()


def no_race_join_publishes() -> None:
    box = Box(v=0)

    def store() -> None:
        box.v = 1

    thread = threading.Thread(target=store)
    thread.start()
    thread.join()
    assert box.v == 1


@reports("unordered-read")
def race_read_before_join() -> None:
    box, stored = Box(v=0), Gate()

    def store() -> None:
        box.v = 1
        stored.open()

    thread = threading.Thread(target=store)
    thread.start()
    stored.wait()
    assert box.v == 1
    thread.join()
    stored.close()


def no_race_one_thread_after_another() -> None:
    box = Box(v=0)

    def bump() -> None:
        box.v += 1

    for _ in range(3):
        run(bump)
    assert box.v == 3


def no_race_a_thread_seen_to_be_dead() -> None:
    box = Box(v=0)

    def store() -> None:
        box.v = 1

    thread = threading.Thread(target=store)
    thread.start()
    while thread.is_alive():
        pass
    assert box.v == 1


def no_race_timer_joined() -> None:
    box = Box(v=0)

    def bump() -> None:
        box.v += 1

    timer = threading.Timer(0.001, bump)
    timer.start()
    timer.join()
    box.v += 1


@reports("lost-update")
def race_timer() -> None:
    box, done = Box(v=0), Gate()

    def bump() -> None:
        box.v += 1
        done.open()

    timer = threading.Timer(0.001, bump)
    timer.start()
    done.wait()
    box.v += 1
    timer.join()
    done.close()


# --- queues ---


def no_race_queue() -> None:
    line: queue.Queue[Box] = queue.Queue()

    def produce() -> None:
        for i in range(5):
            line.put(Box(v=i))

    def consume() -> None:
        for _ in range(5):
            line.get().v += 1

    run(produce, consume)


def no_race_priority_queue() -> None:
    line: queue.PriorityQueue[tuple[int, int, Box]] = queue.PriorityQueue()

    def consume() -> None:
        line.get()[2].v += 1

    run(lambda: line.put((1, 1, Box(v=1))), consume)


def no_race_simple_queue() -> None:
    line: queue.SimpleQueue[Box] = queue.SimpleQueue()

    def produce() -> None:
        box = Box()
        box.v = 1
        line.put(box)

    def consume() -> None:
        line.get().v += 1

    run(produce, consume)


@reports("unordered-read")
def race_store_after_put() -> None:
    line: queue.Queue[Box] = queue.Queue()

    def produce() -> None:
        box = Box(v=0)
        line.put(box)
        box.v = 1

    def consume() -> object:
        return line.get().v

    run(produce, consume)


@reports("lost-update")
def race_two_producers() -> None:
    line: queue.Queue[int] = queue.Queue()
    box = Box(n=0)

    def produce() -> None:
        line.put(1)
        box.n += 1

    run(produce, produce)


def no_race_queue_join() -> None:
    line: queue.Queue[int | None] = queue.Queue()
    squares: dict[int, int] = {}

    def work() -> None:
        while (i := line.get()) is not None:
            squares[i] = i * i
            line.task_done()
        line.task_done()

    thread = threading.Thread(target=work)
    thread.start()
    for i in range(4):
        line.put(i)
    line.join()
    assert squares[3] == 9
    squares[10] = 1
    line.put(None)
    thread.join()


# --- executors ---


def boxed(i: int) -> Box:
    box = Box()
    box.v = i
    return box


def no_race_future_result() -> None:
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(boxed, 1).result().v == 1


def no_race_executor_map() -> None:
    with ThreadPoolExecutor(4) as pool:
        assert sum(box.v for box in pool.map(boxed, range(10))) == 45


def no_race_as_completed() -> None:
    with ThreadPoolExecutor(4) as pool:
        futures = [pool.submit(boxed, i) for i in range(6)]
        assert sum(future.result().v for future in as_completed(futures)) == 15


def no_race_future_callback() -> None:
    lock, box = threading.Lock(), Box(n=0)

    def add(future: Future[int]) -> None:
        with lock:
            box.n += future.result()

    with ThreadPoolExecutor(2) as pool:
        for _ in range(4):
            pool.submit(int, 1).add_done_callback(add)
    assert box.n == 4


def no_race_submit_publishes() -> None:
    box = Box(v=1)
    with ThreadPoolExecutor(2) as pool:
        box.v = 2
        assert pool.submit(lambda: box.v).result() == 2
        box.v = 3


@reports("lost-update")
def race_counter_in_a_pool() -> None:
    box, both = Box(n=0), [Gate(), Gate()]

    def bump(place: int) -> None:
        both[place].open()
        both[1 - place].wait()  # two workers, for sure
        box.n += 1

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(bump, range(2)))


@reports("check-then-act", "lost-update")
def race_dict_in_a_pool() -> None:
    totals: dict[str, int] = {}
    both = [Gate(), Gate()]

    def add(place: int) -> None:
        both[place].open()
        both[1 - place].wait()
        totals["t"] = totals.get("t", 0) + place

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(add, range(2)))


# --- event loops ---


def no_race_tasks_of_one_loop() -> None:
    box = Box(n=0)

    async def work() -> None:
        for _ in range(5):
            box.n += 1
            await asyncio.sleep(0)

    async def main() -> None:
        await asyncio.gather(work(), work())

    asyncio.run(main())


def no_race_to_thread() -> None:
    box = Box(n=0)

    def bump() -> None:
        box.n += 1

    async def main() -> None:
        bump()
        await asyncio.to_thread(bump)
        bump()

    asyncio.run(main())


@reports("lost-update")
def race_thread_beside_a_loop() -> None:
    box, bumped = Box(n=0), Gate()

    def bump() -> None:
        bumped.wait()
        box.n += 1

    async def main() -> None:
        work = asyncio.ensure_future(asyncio.to_thread(bump))
        await asyncio.sleep(0.001)
        box.n += 1
        bumped.open()
        await work

    asyncio.run(main())
    bumped.close()


def no_race_call_soon_threadsafe() -> None:
    box, loop = Box(n=0), asyncio.new_event_loop()

    def work() -> None:
        box.n = 1
        loop.call_soon_threadsafe(finish)

    def finish() -> None:
        box.n += 1
        loop.stop()

    thread = threading.Thread(target=work)
    thread.start()
    loop.run_forever()
    thread.join()
    loop.close()
    assert box.n == 2


def no_race_run_coroutine_threadsafe() -> None:
    box, loop = Box(n=0), asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def bump() -> int:
        box.n += 1
        return int(box.n)

    box.n = 1
    assert asyncio.run_coroutine_threadsafe(bump(), loop).result() == 2
    box.n = 3
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()
