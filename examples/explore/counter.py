"""Two threads count without a lock: `threadproof explore examples/explore/counter.py` shows what is lost."""

import threading


class Counter:
    """Counts calls; one lock around the statement in increment() would make it right."""

    def __init__(self) -> None:
        self.n = 0

    def increment(self) -> None:
        self.n += 1


counter = Counter()
threads = [threading.Thread(target=counter.increment) for _ in range(2)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert counter.n == 2, counter.n
