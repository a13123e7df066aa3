"""Whom we measure: a rival is a way to make an empty map, and what stands before each operation on it."""

from __future__ import annotations

from argparse import ArgumentTypeError
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from threadproof.maps import HashMap


@dataclass(frozen=True)
class Rival:
    name: str
    make: Callable[[], Any]
    guard: str = ""
    is_dict: bool = False


DICT = Rival("dict", dict, is_dict=True)
LOCKED_DICT = Rival("dict + Lock", dict, guard="with lock: ", is_dict=True)
HASH_MAP = Rival("HashMap", HashMap)

RIVALS = [DICT, LOCKED_DICT, HASH_MAP]


def load(place: str) -> Rival:
    """Make a rival of `module:attribute`, found through PYTHONPATH; calling it gives an empty map."""
    module, _, attribute = place.partition(":")
    try:
        return Rival(place, getattr(import_module(module), attribute))
    except (ImportError, AttributeError, ValueError) as error:
        raise ArgumentTypeError(f"cannot load {place!r}: {error}") from error
