"""Each thread has a lock and a counter of its own; what they share is read only at the end."""

import threading

from scene import join, start


def count() -> None:
    lock, counts = threading.Lock(), [0]
    for _ in range(20_000):
        with lock:
            counts[0] += 1
    results.append(counts[0])


results: list[int] = []
join(start(count, count))
print(sum(results))
