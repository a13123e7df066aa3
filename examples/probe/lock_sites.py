"""Counts how often each line acquires a lock: a subscriber of the probe.

    python examples/probe/lock_sites.py              # by itself
    threadproof race examples/probe/lock_sites.py    # beside the race detector

Callbacks run in the threads that acquire, several at once: so the counts are in a map that adds in one step.
"""

import threading
from pathlib import Path

from threadproof import HashMap
from threadproof.probe import LockEvent, subscribe

sites: HashMap[str, int] = HashMap()


def count(event: LockEvent) -> None:
    if not event.internal:  # not a lock of the standard library's own, such as those inside a queue
        place = event.place()
        sites.add(f"{Path(place.file).name}:{place.line} in {place.function}")


lock, total = threading.Lock(), 0


def deposit(times: int) -> None:
    global total
    for _ in range(times):
        with lock:
            total += 1


with subscribe(acquired=count):
    threads = [threading.Thread(target=deposit, args=[times]) for times in (200, 300)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with lock:
        print(total, "deposits")

for site, times in sorted(sites.items()):
    print(f"{times:5} {site}")
