"""The instructions that are watched; moving a site to the instruction before changes no event."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from threadproof import _core
from threadproof.probe.instrument import Stored, sites_of
from threadproof.probe.placement import Placement, Source

NOTHING = Stored(frozenset(), frozenset())


def sites(function: Any) -> list[Placement]:
    return sites_of(function.__code__, NOTHING)


def seen(function: Any) -> list[tuple[str, object]]:
    """Without the operators, which are watched until they have met a number."""
    return [(site.kind, site.name) for site in sites(function) if site.kind != "combine"]


if hasattr(_core, "race"):

    def test_the_load_of_a_local_variable_is_watched_in_place_of_its_attributes() -> None:
        def function(x: Any) -> Any:
            return x.place

        (site,) = sites(function)
        assert site.instrumented < site.offset
        assert site.operands == (Source("local", 0),)

    def test_an_attribute_of_an_attribute_is_watched_itself() -> None:
        def function(x: Any) -> Any:
            return x.place.height

        inner, outer = sites(function)
        assert inner.instrumented < inner.offset
        assert (outer.instrumented, outer.operands) == (outer.offset, (Source("stack", 1),))

    def test_operands_are_told_apart_through_copies_and_swaps() -> None:
        def function(rows: Any, i: Any, j: Any) -> None:
            rows[i][j] += 1

        row, store = sites(function)
        assert row.operands == (Source("local", 0), Source("local", 1))
        assert (store.kind, store.operands) == ("store_item", (Source("stack", 1), Source("stack", 2)))

    def test_a_constant_key_is_an_operand() -> None:
        def function(table: Any) -> Any:
            return table["key"]

        (site,) = sites(function)
        assert site.operands == (Source("stack", 1), Source("constant", "key"))

    def test_the_store_of_an_update_stands_for_its_load() -> None:
        def function(x: Any) -> None:
            x.n += 1

        assert seen(function) == [("store_attribute", "n")]

    def test_a_call_in_an_update_keeps_its_load() -> None:
        def function(x: Any, f: Any) -> None:
            x.n += f()

        assert seen(function) == [("load_attribute", "n"), ("store_attribute", "n")]

    def test_a_second_load_in_a_stretch_is_not_watched() -> None:
        def function(x: Any) -> Any:
            return x.n + x.n * x.m + x.n

        assert seen(function) == [("load_attribute", "n"), ("load_attribute", "m")]

    @pytest.mark.parametrize("between", ["f()", "x = y", "with y: pass", "for _ in y: pass", "y or y"])
    def test_a_load_after_what_can_synchronise_or_change_the_object_is_watched(between: str) -> None:
        namespace: dict[str, Any] = {}
        exec(f"def function(x, y, f):\n    x.n\n    {between}\n    x.n\n", namespace)
        assert seen(namespace["function"]).count(("load_attribute", "n")) == 2

    def test_what_a_later_load_decides_is_said_of_the_first() -> None:
        def function(x: Any) -> Any:
            value = x.n
            return value if x.n is None else 0

        (site,) = sites(function)
        assert site.flags

else:

    def test_placement_is_skipped_because_the_race_detector_needs_cpython_3_14() -> None:
        pytest.skip(f"the race detector needs CPython 3.14, and this is {sys.version.split()[0]}")
