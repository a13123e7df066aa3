"""`pytest --watch-leaks`: fails the test after which maps or threads have grown in number or size.

What there is before a test's set-up is compared with what there is after its tear-down: the sizes of the maps
that were there, and the threads. Looking for maps takes the time of `stats.instances` for each test.
"""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from threadproof.stats import registry

PATIENCE = 1.0  # seconds that threads get to end: a test that stops one need not wait for it


@dataclass
class Before:
    """A map, and its size before the test."""

    reference: weakref.ref[Any]
    size: int


class LeakPlugin:
    """One run of pytest with --watch-leaks."""

    def __init__(self) -> None:
        self.maps: list[Before] = []
        self.threads: set[threading.Thread] = set()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Generator[None, None, None]:
        self.maps = [Before(weakref.ref(each), len(each)) for each in maps_alive()]
        self.threads = set(threading.enumerate())
        yield

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Generator[None, None, None]:
        yield
        if item.get_closest_marker("leaks_allowed"):
            return
        lines = [*grown_maps(self.maps), *new_threads(self.threads)]
        if lines:
            pytest.fail("after this test\n" + "\n".join(f"  {line}" for line in lines), pytrace=False)


def maps_alive() -> list[Any]:
    """The maps of this package, and of others that have stats()."""
    objects = gc.get_objects()
    kinds = {each for each in {type(each) for each in objects} if is_map(each)}
    return [each for each in objects if type(each) in kinds]


def is_map(kind: type) -> bool:
    watched = callable(getattr(kind, "stats", None)) and kind.__weakrefoffset__ != 0
    return watched and issubclass(kind, Mapping)


def grown_maps(before: list[Before]) -> list[str]:
    names = {id(each.structure): each for each in registry.watched()}
    lines = []
    for each in before:
        structure = each.reference()
        if structure is None or len(structure) <= each.size:
            continue
        known = names.get(id(structure))
        name = f"{known.label!r} (a {known.kind})" if known else f"a {type(structure).__name__}"
        named = f", named at {known.site.file}:{known.site.line}" if known and known.site else ""
        keys = ", ".join(repr(key)[:40] for key in list(structure)[-3:])
        lines.append(
            f"{name} has {len(structure):,} keys, {each.size:,} before{named}; some of its keys: {keys}"
        )
    return lines


def new_threads(before: set[threading.Thread]) -> list[str]:
    new = [each for each in threading.enumerate() if each not in before]
    for each in new:
        each.join(PATIENCE)
    return [f"the thread {each.name!r} is running, and was not before" for each in new if each.is_alive()]
