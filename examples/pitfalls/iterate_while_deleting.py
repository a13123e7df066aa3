"""One thread iterates over all leases while another thread revokes one.

Promise: the iteration continues, and returns every lease that is there from beginning to end exactly once.
"""

from collections.abc import MutableMapping

from meanwhile import meanwhile, report
from threadproof import HashMap

Leases = MutableMapping[str, int]  # seconds to live


def walk_while_another_revokes(leases: Leases) -> None:
    seen: list[str] = []
    for lease in leases:
        if not seen:
            meanwhile(lambda: leases.pop("b"))
        seen.append(lease)
    assert seen.count("a") == seen.count("c") == 1, f"the walk saw only {seen}"


def naive() -> None:
    walk_while_another_revokes({"a": 10, "b": 10, "c": 10})


def fixed() -> None:
    walk_while_another_revokes(HashMap(a=10, b=10, c=10))


if __name__ == "__main__":
    report(naive, fixed)
