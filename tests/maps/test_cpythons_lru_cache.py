"""CPython's own tests of functools.lru_cache, test.test_functools, on @cached."""

from __future__ import annotations

import functools
import importlib
import sys
import unittest
from importlib.util import find_spec
from types import SimpleNamespace
from typing import Any

import pytest

from threadproof import cached

HERE = find_spec("test") is not None and find_spec("test.test_functools") is not None

LEAST_RECENT = "wants the least recently used result to go; ours has another policy"
ONCE = "wants two calls at once for equal arguments; ours makes one, or raises DeadlockError"

NOT_PROMISED = {
    "test_lru": LEAST_RECENT,
    "test_lru_method": LEAST_RECENT,
    "test_lru_bug_35780": ONCE,
    "test_lru_cache_threaded2": ONCE,
    "test_lru_reentrancy_with_len": "caches builtins.len, which our Python part calls for unhashable objects",
    "test_lru_with_maxsize_negative": "takes a negative maxsize for 0; ours is refused",
}
if sys.version_info < (3, 14):  # whose tuples do not keep their hash
    NOT_PROMISED["test_lru_hash_only_once"] = "wants arguments hashed once; a miss of ours hashes again"


def lru_cache(maxsize: Any = 128, typed: bool = False) -> Any:
    """@cached with lru_cache's parameters."""
    if callable(maxsize):
        return cached(maxsize)
    return cached(max_size=maxsize, typed=typed)


Cases: Any = object
if HERE:
    Cases = importlib.import_module("test.test_functools").TestLRU


@lru_cache()  # type: ignore[untyped-decorator]
def cached_func(x: int, y: int) -> int:
    return 3 * x + y


class Case(Cases, unittest.TestCase):  # type: ignore[misc]
    """With what CPython's subclasses have."""

    __test__ = False  # its cases are run below
    module = SimpleNamespace(**(vars(functools) | {"lru_cache": lru_cache}))
    cached_func = (cached_func,)

    @lru_cache()  # type: ignore[untyped-decorator]
    def cached_meth(self, x: int, y: int) -> int:
        return 3 * x + y

    @staticmethod
    @lru_cache()  # type: ignore[untyped-decorator]
    def cached_staticmeth(x: int, y: int) -> int:
        return 3 * x + y


@pytest.mark.parametrize("name", unittest.TestLoader().getTestCaseNames(Case))
def test_cpythons_case_passes(name: str) -> None:
    if name in NOT_PROMISED:
        pytest.xfail(NOT_PROMISED[name])
    Case(name).debug()


if not HERE:

    @pytest.mark.skip(reason="test.test_functools cannot be imported")
    def test_cpythons_cases_are_skipped_as_this_python_came_without_them() -> None: ...
