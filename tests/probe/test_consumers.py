"""Every row of consumers.py is tried on this interpreter: what is called one step, and what is not."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.probe.steps import SHARED, call_of, kind_of, of_container, tears
from threadproof import _core, consumers
from threadproof.consumers import CONSUMERS, OPCODES, Containers, one_step

if not hasattr(_core, "race"):
    pytest.skip("the probe needs CPython 3.14", allow_module_level=True)

ROWS = [
    *((each.owner, name) for each in CONSUMERS for name in each.names.split()),
    *(("", name) for name in OPCODES),
]
NOT_CALLED_WITH_A_CONTAINER = ("next", "aiter", "anext")
FEW, MANY = 20, 20_000  # tries: enough to see most mistakes; far more than it takes
WITH_GIL = getattr(sys, "_is_gil_enabled", lambda: True)()


def claimed(owner: str, name: str) -> Containers:
    return one_step(owner, name) if owner else OPCODES[name]


def tried(owner: str, name: str, tries: int, one: bool) -> Iterator[tuple[str, bool]]:
    """(container, whether it was more than one step), for the containers of the row, or for the others."""
    try:
        call = call_of(owner, name)
    except AttributeError:  # new in a later version
        return
    for container, make in SHARED.items():
        if bool(of_container(container) & claimed(owner, name)) is not one:
            continue
        if owner == "json" and container == "LIST":
            continue  # CPython 3.14.9t crashes when the list is reversed meanwhile
        torn = tears(call, make(kind_of(owner, name)), tries)
        if torn is not None:
            yield container, torn


@pytest.mark.parametrize(("owner", "name"), ROWS)
def test_what_the_row_calls_one_step_is_never_seen_half_done(owner: str, name: str) -> None:
    assert not [container for container, torn in tried(owner, name, FEW, True) if torn]


if not WITH_GIL:

    @pytest.mark.parametrize(
        ("owner", "name"), [row for row in ROWS if row[1] not in NOT_CALLED_WITH_A_CONTAINER]
    )
    def test_what_the_row_leaves_out_is_seen_half_done(owner: str, name: str) -> None:
        # in rounds: some containers are never seen so, and beside other processes the others less often
        rounds = (tried(owner, name, MANY, False) for _ in range(10))
        assert any(torn for rest in rounds for _, torn in rest) or not list(tried(owner, name, 1, False))


def test_no_row_names_what_another_one_has_named() -> None:
    assert len(ROWS) == len(set(ROWS))


def test_the_table_has_the_bits_that_the_extension_has() -> None:
    assert {each.name: each.value for each in Containers} == _core.probe.CONTAINERS


def test_the_table_takes_nothing_of_the_probe_along() -> None:
    """So that other tools can read it, on any interpreter."""
    source = Path(consumers.__file__).read_text(encoding="utf-8")
    imports = [line.split()[1] for line in source.splitlines() if line.startswith(("import ", "from "))]
    assert imports == ["__future__", "enum", "typing"]
