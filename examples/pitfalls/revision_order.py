"""Each write takes the next revision and then stores its value; a second writer does both in between.

Promise: a key's revision never goes back.
"""

from collections.abc import Callable

from meanwhile import meanwhile, report
from threadproof import HashMap
from threadproof.sync import AtomicInt

Versioned = tuple[int, str]  # revision and value


def two_writers(put: Callable[[Versioned], object], get: Callable[[], Versioned]) -> None:
    revisions = AtomicInt(1)
    first = (revisions.fetch_add(), "first")
    meanwhile(lambda: put((revisions.fetch_add(), "second")))
    put(first)
    assert get() == (2, "second"), f"after revision 2 the key is back at {get()}"


def naive() -> None:
    store: dict[str, Versioned] = {}

    def put(new: Versioned) -> None:
        store["key"] = new

    two_writers(put, lambda: store["key"])


def fixed() -> None:
    store: HashMap[str, Versioned] = HashMap()
    newest = max  # of the stored and the new revision
    two_writers(lambda new: store.merge("key", new, newest), lambda: store["key"])


if __name__ == "__main__":
    report(naive, fixed)
