"""Run a program that never ends, cut short: whether the race detector needs more memory or time later on.

    python benchmarks/race_growth.py             every kind of event, some minutes; prints a markdown table
    python benchmarks/race_growth.py --quick     a tenth of each
    python benchmarks/race_growth.py --only lock kinds whose name contains this; may be repeated

Each kind runs in a process of its own under the detector, with a second thread alive, so every event is
judged. A run has ten parts. `memory` is the resident memory after the last part relative to that after the
second one, by when everything that has a bound has reached it; `time` is the CPU time of the last part
relative to that of the second. Both are 1.00 for a detector that could go on for ever. The rest of the row is
what the detector keeps at the end, of that which grew since the second part.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

PARTS = 10
Event = Callable[[int], object]


class Thing:
    """An object with attributes."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.double = 2 * number
        self.number += 1


shared = Thing(0)
guard = threading.Lock()


def touch() -> None:
    with guard:
        shared.number += 1


def short_thread(number: int) -> None:
    thread = threading.Thread(target=touch)
    thread.start()
    thread.join()


def many_threads(number: int) -> None:
    threads = [threading.Thread(target=touch) for _ in range(200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def lock(number: int) -> None:
    with threading.Lock():
        shared.double = number


def thing(number: int) -> None:
    Thing(number).double += 1


def item_of_a_queue() -> Event:
    items: queue.Queue[Thing] = queue.Queue()

    def pass_one(number: int) -> None:
        items.put(Thing(number))
        items.get().double += 1

    return pass_one


def item_of_a_list() -> Event:
    items: list[Thing] = []

    def pass_one(number: int) -> None:
        items.append(Thing(number))
        items.pop().double += 1

    return pass_one


def key_of_a_dict() -> Event:
    table: dict[int, int] = {}

    def churn(number: int) -> None:
        table[number] = number
        table[number] += 1
        table.pop(number - 100, None)

    return churn


def key_of_a_map() -> Event:
    from threadproof import HashMap

    table: HashMap[int, int] = HashMap()

    def churn(number: int) -> None:
        table[number] = number
        if number in table:
            table[number] += 1
        table.pop(number - 100, None)

    return churn


def future() -> Event:
    pool = ThreadPoolExecutor(1)
    return lambda number: pool.submit(touch).result()


KINDS: dict[str, tuple[int, Callable[[], Event]]] = {  # events, and what makes one
    "threads in a row": (20_000, lambda: short_thread),
    "200 threads at once": (100, lambda: many_threads),
    "locks": (1_000_000, lambda: lock),
    "futures": (1_000_000, future),
    "items of a queue": (1_000_000, item_of_a_queue),
    "items of a list": (1_000_000, item_of_a_list),
    "objects with attributes": (1_000_000, lambda: thing),
    "keys of a dict": (3_000_000, key_of_a_dict),
    "keys of a HashMap": (1_000_000, key_of_a_map),
}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a tenth of the events")
    parser.add_argument(
        "--only", action="append", default=[], metavar="TEXT", help="kinds with TEXT in their name"
    )
    args = parser.parse_args()
    kinds = [kind for kind in KINDS if not args.only or any(text in kind for text in args.only)]
    if not kinds:
        parser.error(f"no kind has {' or '.join(args.only)} in its name; there are {', '.join(KINDS)}")
    print("| events | number | memory | time | us an event | what grew |\n|---|---|---|---|---|---|")
    for kind in kinds:
        print(row(kind, KINDS[kind][0] // (10 if args.quick else 1)), flush=True)
    return 0


def row(kind: str, number: int) -> str:
    environment = os.environ | {"RACE_GROWTH": f"{kind},{number}", "PYTHONHASHSEED": "0"}
    done = subprocess.run(
        [sys.executable, __file__], env=environment, capture_output=True, text=True, check=True
    )
    parts = json.loads(done.stdout)
    second, last = parts[1], parts[-1]
    grew = [
        f"{name} {second['counts'][name]:,} to {count:,}"
        for name, count in last["counts"].items()
        if count > second["counts"][name]
    ]
    memory, seconds = last["kilobytes"] / second["kilobytes"], last["seconds"] / second["seconds"]
    cells = [
        kind,
        f"{number:,}",
        f"{memory:.2f}",
        f"{seconds:.2f}",
        f"{1e6 * last['seconds'] * PARTS / number:.1f}",
        ", ".join(grew),
    ]
    return f"| {' | '.join(cells)} |"


def run(kind: str, number: int) -> list[dict[str, object]]:
    """The state after each part."""
    from threadproof import _core
    from threadproof.race import detect

    parts: list[dict[str, object]] = []
    done = threading.Event()
    with detect(include=[__file__]) as detection:
        waiter = threading.Thread(target=done.wait)
        waiter.start()
        event = KINDS[kind][1]()
        size = number // PARTS
        for part in range(PARTS):
            start = time.process_time()
            for each in range(part * size, (part + 1) * size):
                event(each)
            seconds = time.process_time() - start
            gc.collect()
            parts.append({"seconds": seconds, "kilobytes": resident(), "counts": _core.race.counts()})
        done.set()
        waiter.join()
    assert not detection.findings, detection.findings
    return parts


def resident() -> int:
    with open("/proc/self/statm", encoding="ascii") as pages:
        return int(pages.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024


if __name__ == "__main__":
    if "RACE_GROWTH" in os.environ:
        kind, _, number = os.environ["RACE_GROWTH"].partition(",")
        print(json.dumps(run(kind, int(number))))
    else:
        sys.exit(main())
