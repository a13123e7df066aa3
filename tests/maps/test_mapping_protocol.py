"""CPython's own tests of the mapping protocol, test.mapping_tests, on every map."""

from __future__ import annotations

import importlib
import unittest
from importlib.util import find_spec
from typing import Any

import pytest

from tests.maps.conftest import MapMaker
from threadproof.maps import ShardedMap

HERE = find_spec("test") is not None and find_spec("test.mapping_tests") is not None

SECRET = "wants maps filled alike to pop alike; each map of its kind has a secret in its hashes"

NOT_PROMISED = {
    ("every map", "test_repr"): "wants repr of an empty map to be {}; ours name their class: LockedMap({})",
    ("every map", "test_mutatingiteration"): "wants RuntimeError when the loop grows the map; ours goes on",
    ("HashMap", "test_popitem"): SECRET,
    ("Cache", "test_popitem"): SECRET,
    ("ShardedMap", "test_popitem"): SECRET,
    ("SyncMap", "test_popitem"): SECRET,
}


def cases() -> list[Any]:
    if not HERE:
        return []
    mapping_tests = importlib.import_module("test.mapping_tests")

    protocols: list[type[unittest.TestCase]] = [
        mapping_tests.BasicTestMappingProtocol,
        mapping_tests.TestMappingProtocol,
        mapping_tests.TestHashMappingProtocol,
    ]
    names = unittest.TestLoader().getTestCaseNames
    return [
        pytest.param(each, name, id=f"{each.__name__}.{name}") for each in protocols for name in names(each)
    ]


@pytest.mark.parametrize(("protocol", "name"), cases())
def test_cpythons_case_passes(
    make_map: MapMaker, protocol: type[unittest.TestCase], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name == "test_repr_deep":
        monkeypatch.setattr(ShardedMap, "shards", 2)  # it nests 150,000 maps, which is enough
    for which in ("every map", *(each.__name__ for each in make_map.type.__mro__)):
        if (which, name) in NOT_PROMISED:
            pytest.xfail(NOT_PROMISED[which, name])
    case = type(protocol.__name__, (protocol,), {"type2test": make_map.type})
    case(name).debug()


if not HERE:

    @pytest.mark.skip(reason="test.mapping_tests cannot be imported")
    def test_cpythons_cases_are_skipped_as_this_python_came_without_them() -> None: ...


def test_three_of_cpythons_cases_are_not_promised() -> None:
    assert {name for _, name in NOT_PROMISED} == {"test_repr", "test_mutatingiteration", "test_popitem"}
