"""Which part may use which, as data. ARCHITECTURE.md has the reasons; test_layers.py reads the sources.

An area that does not exist yet has its arrows already. A new area is a row here.
"""

from __future__ import annotations

# --- src/threadproof: the parts of the package that each area may import, besides itself ---

GROUND_FLOOR = {"consumers", "findings", "missing", "probe", "stats"}
AREAS = {"advise", "bench", "explore", "lint", "maps", "race", "remote", "sync", "watch"}
DOORS = {"__init__", "__main__", "annotations", "cli", "demo", "pytest_plugin", "testing"}
BELOW_AREAS = GROUND_FLOOR | {"_core"}

PYTHON: dict[str, set[str]] = {
    "consumers": set(),  # a table that the linter reads, too
    "findings": set(),
    "missing": set(),
    "stats": {"_core"},
    "probe": {"_core", "consumers"},
    # Areas do not import each other. The contract of all maps is the one thing that others need of them.
    **dict.fromkeys(AREAS, BELOW_AREAS),
    "bench": BELOW_AREAS | {"maps.contract"},
    "remote": BELOW_AREAS | {"maps.contract"},
    "lint": {"consumers", "findings", "missing"},  # works where the extension is not built
    # Doors may use every area; nothing imports a door.
    **dict.fromkeys(DOORS, BELOW_AREAS | AREAS | {"__init__", "demo"}),
    "__main__": {"cli"},
    "annotations": set(),  # imported by programs at run time, and read by the linter: nothing to load
    "demo": {"maps"},
}

# Areas that name modules in strings because they look for them in sources; they import none of them.
NAMES_AS_DATA = {"lint"}

# --- src/core, src/ext: which folders each folder may include, besides itself ---

# The algorithms: base below, and no folder beside another.
CORE: dict[str, set[str]] = {
    "core/base": set(),
    "core/probe": {"core/base"},
    "core/maps": {"core/base"},
    "core/sync": {"core/base"},
    "core/race": {"core/base", "core/probe"},
    "core/explore": {"core/base"},
    "core/watch": {"core/base"},
}

# The bindings: each over its algorithms, over what all bindings share, and over the probe. Maps and locks
# publish their events to the probe; the race detector subscribes to it.
SHARED = {"core/base", "ext/python"}
EXT: dict[str, set[str]] = {
    "ext/python": {"core/base"},
    "ext/probe": SHARED | {"core/probe"},
    "ext/maps": SHARED | {"ext/probe", "core/maps"},
    "ext/sync": SHARED | {"ext/probe", "core/sync"},
    "ext/race": SHARED | {"ext/probe", "core/probe", "core/race"},
    "ext/explore": SHARED | {"ext/probe", "core/explore"},
    "ext/watch": SHARED | {"ext/probe", "core/probe", "core/watch"},
    "ext": {
        *CORE,
        *(f"ext/{each}" for each in ("python", "probe", "maps", "sync", "race", "explore", "watch")),
    },
}

# The only file with CPython's internal headers.
INTERNALS = {"ext/probe/internals.hpp"}
