"""APScheduler: jobs in a pool of threads, a listener, and a job that is added by a job."""

from __future__ import annotations

import logging
import sys
import threading
from contextlib import nullcontext
from datetime import datetime, timedelta

from apscheduler.events import EVENT_JOB_EXECUTED
from apscheduler.schedulers.background import BackgroundScheduler

RACY = "racy" in sys.argv
lock = nullcontext() if RACY else threading.Lock()
logging.getLogger("apscheduler").setLevel(logging.CRITICAL)
JOBS = 8
together = threading.Barrier(2)  # or one thread of the pool may run all jobs


class Work:
    def __init__(self) -> None:
        self.done = 0
        self.names: list[str] = []


work = Work()
ended = threading.Semaphore(0)
settings = {"step": 1}


def job(name: str) -> None:
    together.wait()
    with lock:
        work.done += settings["step"]
    work.names.append(name)


def first(scheduler: BackgroundScheduler) -> None:
    for i in range(JOBS):
        soon = datetime.now() + timedelta(milliseconds=5 * (i % 2))
        scheduler.add_job(job, args=[f"job {i}"], next_run_time=soon)


def main() -> None:
    scheduler = BackgroundScheduler(job_defaults={"misfire_grace_time": None})  # it runs, however late
    scheduler.add_listener(lambda event: ended.release(), EVENT_JOB_EXECUTED)
    scheduler.start()
    scheduler.add_job(first, args=[scheduler])
    for _ in range(JOBS + 1):
        assert ended.acquire(timeout=60)
    scheduler.shutdown()
    print("ran" if RACY else work.done, len(work.names))


main()
