"""One reader-writer lock guards the whole map, and a writer holds it while loading a value.

Promise: a read of another key does not wait for the load.
"""

from collections.abc import Callable

from meanwhile import meanwhile, report
from threadproof import HashMap
from threadproof.sync import RWLock


def naive() -> None:
    lock = RWLock()
    prices = {"apple": 1}

    def read() -> int:
        with lock.read(timeout=0):  # a reader that had to wait would wait for the whole load
            return prices["apple"]

    with lock.write():
        prices["pear"] = load(read)


def fixed() -> None:
    prices: HashMap[str, int] = HashMap(apple=1)
    prices.compute_if_absent("pear", lambda name: load(lambda: prices["apple"]))
    assert prices["pear"] == 2


def load(read: Callable[[], int]) -> int:
    """A slow call to a database, during which another thread reads."""
    meanwhile(read)
    return 2


if __name__ == "__main__":
    report(naive, fixed)
