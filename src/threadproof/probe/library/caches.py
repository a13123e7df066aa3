"""functools.lru_cache: a computation comes before the calls that get a cached result."""

from __future__ import annotations

import functools

from threadproof import _core


def install() -> None:
    _core.probe.intercept_caches(type(functools.lru_cache(int)))
