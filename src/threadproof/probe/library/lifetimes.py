"""Imports and finalisers.

A module's top level is ordered before its importers' steps, and all uses of an object before the functions of
weakref.finalize.

The import statement and the start of a `__del__` are sites (probe/instrument.py).
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from threadproof import _core
from threadproof.probe.instrument import modules_named
from threadproof.probe.library.rows import Row

finalised: dict[int, int] = {}  # the address of a weakref.finalize -> that of its object


def importing(name: str, package: str | None = None) -> Generator[None, Any]:
    module = yield
    _core.probe.modules_seen(modules_named(module.__name__, 0, (), ""))


def registering(finalizer: Any, obj: object, func: Any, /, *args: Any, **kwargs: Any) -> Generator[None, Any]:
    finalised[id(finalizer)] = id(obj)
    _core.probe.publish(finalizer)
    yield


def finalising(finalizer: Any, dead: object = None) -> Generator[None, Any]:
    address = finalised.pop(id(finalizer), None)
    _core.probe.observe(finalizer)
    if dead is not None and address is not None:  # otherwise the program called it, while the object is alive
        _core.probe.own(address)
    yield


def detaching(finalizer: Any) -> Generator[None, Any]:
    finalised.pop(id(finalizer), None)
    yield


ROWS = (
    Row("importlib", "import_module", generator=importing, internal=False),
    Row("weakref:finalize", "__init__", generator=registering, internal=False),
    Row("weakref:finalize", "__call__", generator=finalising, internal=False),
    Row("weakref:finalize", "detach", generator=detaching, internal=False),
)
