"""What comes before and after a thing's life: imports and finalisers.

An import statement is watched where it stands (race/instrument.py), and so is the start of a `__del__`.
"""

from __future__ import annotations

import importlib
import weakref
from typing import Any

from threadproof import _core
from threadproof.race.instrument import modules_named
from threadproof.race.patch import Patches

finalised: dict[int, int] = {}  # the address of a weakref.finalize -> that of its object


def patch(patches: Patches) -> None:
    """A module's top -> what its importers do; all uses of an object -> what weakref.finalize does."""
    patches.replace(importlib, "import_module", importer)
    patches.replace(weakref.finalize, "__init__", registrar)
    patches.replace(weakref.finalize, "__call__", finaliser)
    patches.replace(weakref.finalize, "detach", detacher)


def importer(original: Any) -> Any:
    def import_module(name: str, package: str | None = None) -> Any:
        module = original(name, package)
        _core.race_see_modules(modules_named(module.__name__, 0, (), ""))
        return module

    return import_module


def registrar(original: Any) -> Any:
    def __init__(self: Any, obj: object, func: Any, /, *args: Any, **kwargs: Any) -> None:  # noqa: N807
        finalised[id(self)] = id(obj)
        _core.race_release(self)
        original(self, obj, func, *args, **kwargs)

    return __init__


def finaliser(original: Any) -> Any:
    def __call__(self: Any, dead: object = None) -> Any:  # noqa: N807
        address = finalised.pop(id(self), None)
        _core.race_acquire(self)
        if dead is not None and address is not None:  # else called by the program, with the object alive
            _core.race_last_use(address)
        return original(self, dead)

    return __call__


def detacher(original: Any) -> Any:
    def detach(self: Any) -> Any:
        finalised.pop(id(self), None)
        return original(self)

    return detach
