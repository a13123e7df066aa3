"""Concurrent maps for threaded Python, and the tools that prove a threaded program right.

The maps need the extension; the linter does not, and works where it is not built. So they are imported when
they are first asked for.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from threadproof._core import REMOVE, DeadlockError
    from threadproof.maps import (
        Cache,
        ConcurrentMap,
        HashMap,
        LockedMap,
        ShardedMap,
        SnapshotMap,
        SyncMap,
        cached,
    )

__all__ = [
    "REMOVE",
    "Cache",
    "ConcurrentMap",
    "DeadlockError",
    "HashMap",
    "LockedMap",
    "ShardedMap",
    "SnapshotMap",
    "SyncMap",
    "cached",
]


def __getattr__(name: str) -> Any:
    """A public name when it is first asked for; also `__version__`, whose metadata takes long to find."""
    if name == "__version__":
        found: Any = find_version()
    elif name in ("maps", "stats"):  # so that `threadproof.maps` works after `import threadproof`
        return import_module(f"{__name__}.{name}")
    elif name in __all__:
        home = "threadproof._core" if name in ("REMOVE", "DeadlockError") else "threadproof.maps"
        found = getattr(import_module(home), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = found
    return found


def find_version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(__name__)
    except PackageNotFoundError:  # used from a source tree
        return "0"


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


if os.environ.get("THREADPROOF_WATCH") == "1":  # a monitor and a server, without a line in the program
    import_module("threadproof.watch.autostart")
