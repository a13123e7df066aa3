"""tqdm: a bar that threads advance, thread_map, and a bar for each thread."""

from __future__ import annotations

import io
import sys
import threading
from contextlib import nullcontext

from tqdm import tqdm
from tqdm.contrib.concurrent import thread_map

RACY = "racy" in sys.argv
lock = nullcontext() if RACY else threading.Lock()
together = threading.Barrier(3)  # or tqdm's lock may put all steps of one thread before those of another


class Totals:
    seen = 0


totals = Totals()


def square(number: int) -> int:
    with lock:
        totals.seen += 1
    return number * number


def advance(bar: tqdm, file: io.StringIO) -> None:
    for each in tqdm(range(20), file=file, leave=False):
        together.wait()
        square(each)
        with tqdm.get_lock():
            bar.update()


def main() -> None:
    tqdm.monitor_interval = 0
    with tqdm(total=60, file=io.StringIO()) as bar:
        threads = [threading.Thread(target=advance, args=(bar, io.StringIO())) for _ in range(3)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        assert bar.n == 60
    squares = thread_map(square, range(20), max_workers=3, file=io.StringIO())
    print("ran" if RACY else totals.seen, sum(squares))


main()
