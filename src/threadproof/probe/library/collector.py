"""gc.callbacks: CPython calls them in one thread at a time, so each call comes after the ones before it."""

from __future__ import annotations

import functools
import gc
from collections.abc import Generator
from types import FunctionType, MethodType
from typing import Any

from threadproof import _core

collections = object()  # all of them, in their order
followed: set[FunctionType] = set()


def collecting(*arguments: object, **named: object) -> Generator[None, Any]:
    _core.probe.observe(collections)
    try:
        yield
    finally:
        _core.probe.publish(collections)


def function_of(callback: Any) -> Any:
    """What runs when the callback is called."""
    if isinstance(callback, functools.partial):
        return function_of(callback.func)
    if isinstance(callback, MethodType):
        return callback.__func__
    return callback if isinstance(callback, FunctionType) else type(callback).__call__


def follow_callbacks() -> None:
    """Intercept those that are there; the list is CPython's, and shows no additions."""
    for callback in gc.callbacks:
        function = function_of(callback)
        if isinstance(function, FunctionType) and function not in followed:
            followed.add(function)
            _core.probe.intercept_function(function, (), (), False, False, collecting)
