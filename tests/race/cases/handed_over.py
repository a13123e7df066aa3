"""Objects that go from thread to thread through a container, and code that runs under a library's lock."""

from __future__ import annotations

import collections
import contextlib
import functools
import gc
import heapq
import logging
import logging.handlers
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from tests.race.schedule import Box, reports, run


class Job:
    def __init__(self) -> None:
        self.steps = 0


JOBS = 5


def handed_over(put: Callable[[Job], object], take: Callable[[], Job | None]) -> None:
    """One thread makes jobs, and another works on each that it gets out."""

    def make() -> None:
        for _ in range(JOBS):
            job = Job()
            job.steps += 1
            put(job)

    def work() -> None:
        done = 0
        for _ in range(10_000_000):  # the maker may not have begun
            try:
                job = take()
            except (IndexError, KeyError):
                continue
            if job is not None:
                job.steps += 1
                done += 1
            if done == JOBS:
                return

    run(make, work)


def no_race_deque() -> None:
    jobs: collections.deque[Job] = collections.deque()
    handed_over(jobs.append, jobs.popleft)


def no_race_deque_the_other_way() -> None:
    jobs: collections.deque[Job] = collections.deque()
    handed_over(jobs.appendleft, jobs.pop)


def no_race_deque_of_tuples() -> None:
    jobs: collections.deque[tuple[str, Job]] = collections.deque()
    handed_over(lambda job: jobs.append(("job", job)), lambda: jobs.popleft()[1])


def no_race_deque_extended() -> None:
    jobs: collections.deque[Job] = collections.deque()
    handed_over(lambda job: jobs.extend([job]), jobs.popleft)


def no_race_list() -> None:
    jobs: list[Job] = []
    handed_over(jobs.append, jobs.pop)


def no_race_list_inserted() -> None:
    jobs: list[Job] = []
    handed_over(lambda job: jobs.insert(0, job), jobs.pop)


def no_race_set() -> None:
    jobs: set[Job] = set()
    handed_over(jobs.add, jobs.pop)


def no_race_heap() -> None:
    jobs: list[tuple[int, Job]] = []  # a comparison in Python would let the other thread in
    handed_over(lambda job: heapq.heappush(jobs, (id(job), job)), lambda: heapq.heappop(jobs)[1])


def no_race_dict_items() -> None:
    jobs: dict[int, Job] = {}
    handed_over(lambda job: jobs.setdefault(id(job), job), lambda: jobs.popitem()[1])


def no_race_dict_by_key() -> None:
    jobs: dict[str, Job] = {}
    keys = iter([f"job {i}" for i in range(JOBS)])

    def put(job: Job) -> None:
        jobs[next(keys)] = job

    def take() -> Job | None:
        for i in range(JOBS):
            if (job := jobs.pop(f"job {i}", None)) is not None:
                return job
        return None

    handed_over(put, take)


def no_race_setdefault() -> None:
    made: dict[str, Job] = {}
    lock = threading.Lock()

    def use() -> None:
        mine = Job()
        mine.steps = 1
        job = made.setdefault("job", mine)
        with lock:
            job.steps += 1

    run(use, use)


@reports("lost-update")
def race_on_another_object_than_the_one_handed_over() -> None:
    jobs: collections.deque[Job] = collections.deque()
    box, over = Box(n=0), threading.Semaphore(0)
    jobs.append(Job())

    def make() -> None:
        jobs.append(Job())
        box.n += 1
        jobs.append(Job())

    def work() -> None:
        box.n += 1
        while jobs:
            jobs.popleft()

    run(make, work)
    assert not over.acquire(blocking=False)


def after_the_hand_over(jobs: collections.deque[Job], taken: list[Job]) -> None:
    """The maker goes on with a job that another thread has got, without an order."""

    def make() -> None:
        job = Job()
        jobs.append(job)
        taken.append(job)
        job.steps += 1

    def work() -> None:
        job = taken_or_made(jobs, taken)
        job.steps += 1

    first, second = threading.Thread(target=make), threading.Thread(target=work)
    second.start()
    first.start()
    first.join()
    second.join()


@reports("lost-update")
def race_after_the_hand_over() -> None:
    after_the_hand_over(collections.deque(), [])


@reports("lost-update")
def race_after_the_hand_over_through_shared_containers() -> None:
    jobs: collections.deque[Job] = collections.deque()
    taken: list[Job] = []

    def use() -> None:
        jobs.append(Job())
        jobs.pop()
        taken.append(Job())
        taken.pop()

    run(use)
    after_the_hand_over(jobs, taken)


@reports("lost-update")
def race_with_the_thread_that_takes_the_object_out() -> None:
    jobs: collections.deque[Job] = collections.deque()

    def make() -> None:
        for _ in range(JOBS):
            job = Job()
            job.steps += 1
            jobs.append(job)
            job.steps += 1

    run(make, lambda: take_all(jobs))


def take_all(jobs: collections.deque[Job], count: int = JOBS) -> None:
    while count:
        with contextlib.suppress(IndexError):
            jobs.popleft().steps += 1
            count -= 1


@reports("lost-update")
def race_on_another_object_after_the_hand_over() -> None:
    jobs: collections.deque[Job] = collections.deque()
    box = Box(n=0)

    def make() -> None:
        jobs.append(Job())
        box.n += 1

    def work() -> None:
        take_all(jobs, 1)
        box.n += 1

    run(make, work)


def missed_race_on_another_object_before_and_after_the_hand_over() -> None:
    jobs: collections.deque[Job] = collections.deque()
    box = Box(n=0)

    def make() -> None:
        box.n += 1
        jobs.append(Job())
        box.n += 1  # is taken for the one above

    def work() -> None:
        take_all(jobs, 1)
        box.n += 1

    run(make, work)


def no_race_got_between_two_hand_overs() -> None:
    """The second put brings along what the thread has got since the first."""
    jobs: queue.SimpleQueue[Job] = queue.SimpleQueue()
    out: collections.deque[Job] = collections.deque()

    def make() -> None:
        for _ in range(JOBS - 1):
            job = Job()
            job.steps += 1
            jobs.put(job)

    def pass_on() -> None:
        out.append(Job())
        for _ in range(JOBS - 1):
            out.append(jobs.get())

    run(make, pass_on, lambda: take_all(out))


def taken_or_made(jobs: collections.deque[Job], taken: list[Job]) -> Job:
    while True:
        for job in list(taken):
            return job


@reports("lost-update")
def race_on_an_object_that_stays_in_the_container() -> None:
    jobs = [Job()]

    def work() -> None:
        jobs[0].steps += 1

    run(work, work)


# ---- under a library's own lock


class Counting(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.count, self.last = 0, ""

    def emit(self, record: logging.LogRecord) -> None:
        self.count += 1
        self.last = record.getMessage()


def logged_by(handler: logging.Handler, name: str, *more: Callable[[], object]) -> logging.Logger:
    """Two threads log through the handler."""
    log = logging.Logger(name)
    log.addHandler(handler)

    def work() -> None:
        for _ in range(5):
            log.warning("something")
        for each in more:
            each()

    run(work, work)
    return log


def no_race_logging_handler() -> None:
    handler = Counting()
    logged_by(handler, "handler")
    assert handler.count == 10


def no_race_formatter() -> None:
    class Numbering(logging.Formatter):
        number = 0

        def format(self, record: logging.LogRecord) -> str:
            self.number += 1
            return f"{self.number} {record.getMessage()}"

    class Stream:
        written = 0

        def write(self, text: str) -> None:
            self.written += len(text)

        def flush(self) -> None:
            self.written += 1

    handler = logging.StreamHandler(Stream())
    handler.setFormatter(Numbering())
    logged_by(handler, "formatter")


def no_race_memory_handler() -> None:
    target = Counting()
    handler = logging.handlers.MemoryHandler(3, target=target)
    logged_by(handler, "memory")
    handler.close()


def no_race_queue_handler() -> None:
    target = Counting()
    records: queue.Queue[Any] = queue.Queue()
    listener = logging.handlers.QueueListener(records, target)
    listener.start()
    logged_by(logging.handlers.QueueHandler(records), "queue")
    listener.stop()
    assert target.count == 10


def no_race_lock_of_a_handler_acquired_by_the_program() -> None:
    handler, box = Counting(), Box(n=0)

    def work() -> None:
        handler.acquire()
        try:
            box.n += 1
        finally:
            handler.release()

    run(work, work)


@reports("lost-update")
def race_beside_logging() -> None:
    handler, box = Counting(), Box(n=0)

    def bump() -> None:
        box.n += 1

    logged_by(handler, "beside", bump)


@reports("lost-update")
def race_of_two_handlers() -> None:
    box = Box(n=0)

    class Bumping(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            box.n += 1

    def work_with(handler: logging.Handler) -> Callable[[], None]:
        log = logging.Logger("two")
        log.addHandler(handler)
        return lambda: log.warning("something")

    run(work_with(Bumping()), work_with(Bumping()))


def no_race_queue_with_an_own_store() -> None:
    class Counted(queue.Queue[int]):
        stored = 0

        def _put(self, item: int) -> None:
            self.stored += 1
            super()._put(item)

        def _get(self) -> int:
            self.stored -= 1
            return super()._get()

    line = Counted()

    def work() -> None:
        line.put(1)
        line.get()

    run(work, work)


# ---- ends that are seen by counting


def no_race_threads_counted() -> None:
    box, before = Box(n=0), threading.active_count()

    def bump() -> None:
        box.n += 1

    thread = threading.Thread(target=bump)
    thread.start()
    while threading.active_count() > before:
        pass
    box.n += 1
    thread.join()


def no_race_threads_listed() -> None:
    box = Box(n=0)

    def bump() -> None:
        box.n += 1

    thread = threading.Thread(target=bump)
    thread.start()
    while thread in threading.enumerate():
        pass
    box.n += 1
    thread.join()


# ---- what is computed once


def no_race_cached_function() -> None:
    @functools.lru_cache
    def job(name: str) -> Job:
        made = Job()
        made.steps = len(name)
        return made

    lock = threading.Lock()

    def use() -> None:
        mine = job("job")
        with lock:
            mine.steps += 1

    job("another")
    run(use, use)


def no_race_cached_initialisation() -> None:
    box = Box(n=0)

    @functools.cache
    def initialise() -> None:
        box.n = 7

    initialise()

    def use() -> None:
        initialise()
        assert box.n == 7

    run(use, use)


@reports("lost-update")
def race_beside_a_cached_function() -> None:
    box = Box(n=0)

    @functools.cache
    def square(number: int) -> int:
        return number * number

    def use() -> None:
        square(3)
        box.n += 1

    square(3)
    run(use, use)


def no_race_callbacks_of_the_collector() -> None:
    box = Box(n=0)

    def note(phase: str, info: object) -> None:
        if phase == "start":
            box.n += 1

    gc.callbacks.append(note)
    try:
        run(gc.collect, gc.collect)
    finally:
        gc.callbacks.remove(note)


def no_race_callbacks_of_futures() -> None:
    seen: list[Job] = []
    done = threading.Event()

    def work(job: Job) -> Job:
        job.steps += 1
        return job

    def after(future: Future[Job]) -> None:
        future.result().steps += 1
        seen.append(future.result())
        done.set()

    with ThreadPoolExecutor(2) as pool:
        pool.submit(work, Job()).add_done_callback(after)
        done.wait()
        assert seen[0].steps == 2
