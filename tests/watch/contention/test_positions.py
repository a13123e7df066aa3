"""The reader of line tables gives the same positions as co_positions()."""

from __future__ import annotations

import argparse
import asyncio.base_events
import json.decoder
import threading
from collections.abc import Iterator
from types import CodeType, ModuleType

import pytest

from threadproof.watch.contention.positions import Position, entries, position_at


def with_inner(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from with_inner(constant)


def code_of(module: ModuleType) -> CodeType:
    spec = module.__spec__
    assert spec is not None
    found = spec.loader.get_code(spec.name)  # type: ignore[union-attr] # SourceFileLoader
    assert isinstance(found, CodeType)
    return found


@pytest.mark.parametrize("module", [argparse, asyncio.base_events, json.decoder, threading], ids=str)
def test_every_instruction_has_the_position_that_cpython_gives(module: ModuleType) -> None:
    for code in with_inner(code_of(module)):
        units = list(code.co_positions())
        read = entries(code.co_linetable, code.co_firstlineno)
        assert [tuple(position) for length, position in read for _ in range(length)] == units
        last = len(units) - 1
        assert position_at(code.co_linetable, code.co_firstlineno, last) == units[last]


def test_a_table_that_is_cut_off_has_no_position_for_the_rest() -> None:
    code = test_every_instruction_has_the_position_that_cpython_gives.__code__
    units = len(list(code.co_positions()))
    for length in range(len(code.co_linetable)):
        position_at(code.co_linetable[:length], code.co_firstlineno, units - 1)  # raises nothing
    assert position_at(b"", 1, 0) == Position()
    assert position_at(code.co_linetable, code.co_firstlineno, units) == Position()
