"""Every operation of every map is linearizable, in mixes of all of them.

THREADPROOF_LINEARIZE_OPS is the number of operations that are checked on each map; `python -m
tests.maps.linearize` runs any number of them.
"""

import os
from random import Random

import pytest

from tests.maps.conftest import MapMaker
from tests.maps.linearize import verify
from tests.maps.mixes import MAKERS, MIXES, Mix
from threadproof import ConcurrentMap

OPERATIONS = float(os.environ.get("THREADPROOF_LINEARIZE_OPS", "6e4"))

ELSEWHERE = {
    "__init__": "an update of a map nobody else knows yet",
    "__iter__": "weakly consistent: it has no one instant",
    "keys": "a live view",
    "values": "a live view",
    "items": "a live view",
    "stats": "metrics",
    "__eq__": "a snapshot, compared",
    "__repr__": "a snapshot, printed",
    "__reduce__": "a snapshot, on its way to a copy or a pickle",
    "__or__": "a copy, updated",
    "__ror__": "a copy, updated",
    "__ior__": "update",
    "__getstate__": "the attributes of a subclass",
    "copy": "a snapshot, in a new map",
    "to_dict": "a snapshot, in a dict",
    "computations": "metrics",
    "__sizeof__": "metrics",
    "fromkeys": "makes a map nobody else knows yet",
}
"""Operations that are not in the mixes, and why; other tests have them."""


@pytest.mark.parametrize("mix", MIXES, ids=lambda mix: mix.name.replace(" ", "-"))
def test_every_recorded_history_has_an_explanation(make_map: MapMaker, mix: Mix, seed: int) -> None:
    checked = sum(verify(make_map.type, mix, Random(seed), int(OPERATIONS / len(MIXES))))
    print(f"{checked} operations")


def test_every_operation_of_the_contract_is_in_a_mix() -> None:
    operations = {
        name for name, value in vars(ConcurrentMap).items() if callable(value) and is_operation(name)
    }
    mixed = set().union(*(mix.operations for mix in MIXES))
    assert mixed == set(MAKERS)
    assert operations <= mixed | ELSEWHERE.keys()
    assert not mixed & ELSEWHERE.keys()


def is_operation(name: str) -> bool:
    return not name.startswith("_") or name.endswith("__")
