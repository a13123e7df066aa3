"""threadproof's own maps. Its atomics and RWLock are native, and stand in probe/interceptors.py.

A map orders by the key: who changes it comes before who then sees it. A step that changes the whole map comes
before all that see any of it, and one that looks at the whole map comes after all changes before it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

from threadproof import _core

Tell = Callable[[Any], None]
INHERITED: Any = object()


class Patches:
    """What we have put in the place of methods, and the way back."""

    def __init__(self) -> None:
        self.originals: list[tuple[object, str, Any]] = []

    def replace(self, owner: Any, name: str, make: Callable[[Any], Any]) -> None:
        original = getattr(owner, name)
        ours = make(original)
        for attribute in ("__name__", "__qualname__", "__doc__", "__module__"):
            with suppress(AttributeError):  # of a property
                setattr(ours, attribute, getattr(original, attribute))
        self.originals.append((owner, name, vars(owner).get(name, INHERITED)))
        setattr(owner, name, ours)

    def wrap(self, owner: Any, before: Tell | None, names: str, after: Tell | None) -> None:
        for name in names.split():
            self.replace(owner, name, lambda original: told(before, original, after))

    def restore(self) -> None:
        while self.originals:
            owner, name, original = self.originals.pop()
            if original is INHERITED:
                delattr(owner, name)
            else:
                setattr(owner, name, original)


def told(before: Tell | None, original: Any, after: Tell | None) -> Any:
    def method(self: Any, *arguments: Any, **named: Any) -> Any:
        if before:
            before(self)
        result = original(self, *arguments, **named)
        if after:
            after(self)
        return result

    return method


patches = Patches()

SEE_KEY = "__getitem__ get __contains__"
CHANGE_KEY = "__setitem__ __delitem__ pop setdefault swap compare_and_swap compare_and_delete add"
COMPUTE = {"compute": 0, "compute_if_absent": 0, "compute_if_present": 0, "merge": 1}  # arguments before fn
SEE_MAP = "__len__ snapshot get_many copy __eq__ __reduce__"
CHANGE_MAP = "clear drain popitem set_many delete_many count_many update"


def patch(patches: Patches) -> None:
    """The maps that are there; the area of maps is not imported for this."""
    contract = sys.modules.get("threadproof.maps.contract")
    for cls in subclasses(contract.ConcurrentMap) if contract else ():
        patch_map(patches, cls)


def subclasses(cls: type) -> Iterator[type]:
    each: type
    for each in cls.__subclasses__():
        yield each
        yield from subclasses(each)


def patch_map(patches: Patches, cls: Any) -> None:
    """Only a class that is made whole: what it inherits from its abstract bases is called through it."""
    if cls.__abstractmethods__ or not cls.__module__.startswith("threadproof."):
        return
    for names, make in ((SEE_KEY, key_seer), (CHANGE_KEY, key_changer)):
        for name in names.split():
            patches.replace(cls, name, make)
    for name, place in COMPUTE.items():
        patches.replace(cls, name, computer(place))
    patches.wrap(cls, None, SEE_MAP, _core.probe.read_map)
    patches.wrap(cls, _core.probe.change_map, CHANGE_MAP, _core.probe.read_map)
    patches.replace(cls, "_entries", lister)


def key_seer(original: Any) -> Any:
    def see(self: Any, key: Any, /, *arguments: Any) -> Any:
        try:
            return original(self, key, *arguments)
        finally:
            _core.probe.read_key(self, key)

    return see


def key_changer(original: Any) -> Any:
    def change(self: Any, key: Any, /, *arguments: Any, **named: Any) -> Any:
        _core.probe.change_key(self, key)
        try:
            return original(self, key, *arguments, **named)
        finally:
            _core.probe.read_key(self, key)

    return change


def computer(place: int) -> Callable[[Any], Any]:
    """For the methods that call a function, which comes `place` arguments after the key."""

    def make(original: Any) -> Any:
        def compute(self: Any, key: Any, /, *arguments: Any, **named: Any) -> Any:
            def ordered(fn: Any) -> Any:
                def run(*values: Any) -> Any:
                    _core.probe.read_key(self, key)
                    made = fn(*values)
                    _core.probe.change_key(self, key)
                    return made

                return run if callable(fn) else fn

            given = list(arguments)
            given[place : place + 1] = map(ordered, given[place : place + 1])
            named = {name: ordered(value) if name == "fn" else value for name, value in named.items()}
            return change(self, key, *given, **named)

        change = key_changer(original)
        return compute

    return make


def lister(original: Any) -> Any:
    def _entries(self: Any) -> Iterator[Any]:
        for entry in original(self):
            _core.probe.read_key(self, entry[0])
            yield entry
        _core.probe.read_map(self)

    return _entries
