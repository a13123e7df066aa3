"""The tables that C++ and Python share are the same on both sides, and complete."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any

import pytest

from threadproof import _core
from threadproof.probe import interceptors, library, threads
from threadproof.probe.flags import AccessFlag
from threadproof.probe.library import futures, lifetimes, locks, loggers, loops, others, queues, transfers

if not hasattr(_core, "race"):
    pytest.skip("the probe needs CPython 3.14", allow_module_level=True)

SOURCE = Path(__file__).parents[2] / "src"
PARTS = (locks, queues, futures, loops, lifetimes, loggers, threads)
ROWS = [row for part in PARTS for row in part.ROWS]
METHODS = [row for rows in interceptors.METHODS.values() for row in rows]


def test_access_flags_are_the_same_bits() -> None:
    assert {flag.name: flag.value for flag in AccessFlag} == _core.probe.ACCESS_FLAGS


def test_kinds_of_sites_are_those_that_python_makes() -> None:
    instrument = (SOURCE / "threadproof" / "probe" / "instrument.py").read_text()
    made = set(re.findall(r'"([a-z_]+)"', instrument)) & set(_core.probe.SITE_KINDS)
    assert made == set(_core.probe.SITE_KINDS)


def test_every_action_of_a_method_is_used_and_every_used_one_exists() -> None:
    assert {*(action for _, action, _ in METHODS), *transfers.ACTIONS} == set(_core.probe.METHOD_ACTIONS)


def test_a_kind_of_site_or_an_action_that_does_not_exist_is_refused() -> None:
    code = (lambda: None).__code__
    placement: Any = (0, 0, "load_nothing", 0, 0, None, ())
    with pytest.raises(ValueError, match="there is no kind of site 'load_nothing'"):
        _core.probe.register(code, [placement])
    with pytest.raises(ValueError, match="there is no action of a method 'nothing'"):
        _core.probe.intercept_method(list, "append", "nothing")


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.owner} {row.names}")
def test_the_functions_of_a_row_exist_and_are_written_in_python(row: Any) -> None:
    owner: Any = importlib.import_module(row.module)
    for part in filter(None, row.owner.partition(":")[2].split(".")):
        owner = getattr(owner, part)
    for name in row.names.split():
        assert hasattr(getattr(owner, name), "__code__")


def test_all_rows_of_the_library_are_installed() -> None:
    assert len(library.ROWS) == len(ROWS) - len(threads.ROWS) + len(others.ROWS)


def test_no_function_that_cpython_calls_is_without_its_entry() -> None:
    """C++ exceptions end in ext::Entry, or in a function that is noexcept."""
    bare = re.compile(r"\{\"\w+\", (?!method<|ext::method<)\w+, METH_")
    for path in sorted([*(SOURCE / "ext" / "probe").glob("*.cpp"), *(SOURCE / "ext" / "race").glob("*.cpp")]):
        assert not bare.findall(path.read_text()), path.name
