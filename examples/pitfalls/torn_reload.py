"""Permissions are reloaded key by key, while requests are checked against them.

Promise: a request sees only old rules or only new rules.
"""

from collections.abc import Callable, Mapping, MutableMapping

from meanwhile import meanwhile, report
from threadproof import SnapshotMap

OLD = {"alice": "rules of Monday", "bob": "rules of Monday"}
NEW = {"alice": "rules of Tuesday", "bob": "rules of Tuesday"}


def check(permissions: Mapping[str, str]) -> None:
    """Check a request that needs two permissions."""
    rules = {permissions.get("alice", "nothing"), permissions.get("bob", "nothing")}
    assert len(rules) == 1, f"one request saw {' and '.join(sorted(rules))}"


def load_into(permissions: MutableMapping[str, str], request: Callable[[], None]) -> None:
    permissions.clear()
    for name, rule in NEW.items():
        permissions[name] = rule
        meanwhile(request)


def naive() -> None:
    permissions = dict(OLD)
    load_into(permissions, lambda: check(permissions))


def fixed() -> None:
    permissions = SnapshotMap(OLD)
    with permissions.transaction() as changes:  # the end of the block is one atomic step
        load_into(changes, lambda: check(permissions.snapshot()))
    assert permissions == NEW


if __name__ == "__main__":
    report(naive, fixed)
