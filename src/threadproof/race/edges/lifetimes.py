"""What comes before and after a thing's life: imports and finalisers.

An import statement is watched where it stands (race/instrument.py), and so is the start of a `__del__`.
"""

from __future__ import annotations

import importlib
import weakref
from collections.abc import Generator
from typing import Any

from threadproof import _core
from threadproof.race.instrument import modules_named
from threadproof.race.patch import Patches

finalised: dict[int, int] = {}  # the address of a weakref.finalize -> that of its object


def patch(patches: Patches) -> None:
    """A module's top -> what its importers do; all uses of an object -> what weakref.finalize does."""
    patches.around(importlib, "import_module", importing)
    patches.around(weakref.finalize, "__init__", registering)
    patches.around(weakref.finalize, "__call__", finalising)
    patches.around(weakref.finalize, "detach", detaching)


def importing(name: str, package: str | None = None) -> Generator[None, Any]:
    module = yield
    _core.race_see_modules(modules_named(module.__name__, 0, (), ""))


def registering(finalizer: Any, obj: object, func: Any, /, *args: Any, **kwargs: Any) -> Generator[None, Any]:
    finalised[id(finalizer)] = id(obj)
    _core.race_release(finalizer)
    yield


def finalising(finalizer: Any, dead: object = None) -> Generator[None, Any]:
    address = finalised.pop(id(finalizer), None)
    _core.race_acquire(finalizer)
    if dead is not None and address is not None:  # else called by the program, with the object alive
        _core.race_last_use(address)
    yield


def detaching(finalizer: Any) -> Generator[None, Any]:
    finalised.pop(id(finalizer), None)
    yield
