"""What the programs share: a thread works until another one has blocked, so each run has the same answer.

A thread is blocked when it sleeps in the kernel, and the program's own line that it runs is marked `#
blocks`.
"""

from __future__ import annotations

import linecache
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

HERE = str(Path(__file__).parent)
WORK = 0.005  # seconds that are worked after that: five times what a report leaves out
PATIENCE = 100.0  # seconds: after that the program has hung


def is_blocked(thread: threading.Thread) -> bool:
    if thread.native_id is None or thread.ident not in (frames := sys._current_frames()):
        return False
    frame = frames[thread.ident]
    while frame.f_back and not frame.f_code.co_filename.startswith(HERE):
        frame = frame.f_back
    marked = "# blocks" in linecache.getline(frame.f_code.co_filename, frame.f_lineno)
    stat = Path(f"/proc/self/task/{thread.native_id}/stat").read_text(encoding="ascii")
    return marked and stat.rpartition(")")[2].split()[0] == "S"


def work_until_blocked(*threads: threading.Thread) -> None:
    """Work until all of them are blocked, and some milliseconds more."""
    work_until(lambda: all(map(is_blocked, threads)))
    work()


def work_until(holds: Callable[[], bool]) -> None:
    give_up = time.monotonic() + PATIENCE
    while not holds():
        if time.monotonic() > give_up:
            sys.exit("the program has hung")


def work(seconds: float = WORK) -> None:
    """Compute for so long."""
    begin = time.monotonic()
    work_until(lambda: time.monotonic() - begin > seconds)


def start(*functions: Callable[[], object]) -> list[threading.Thread]:
    """Threads of these functions and names, started."""
    threads = [threading.Thread(target=function, name=function.__name__) for function in functions]
    for thread in threads:
        thread.start()
    return threads


def join(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.join()
