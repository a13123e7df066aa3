"""Positions in the source, from a copy of a code object's line table (co_linetable).

The format is CPython's, the same from 3.11 to 3.15: InternalDocs/code_objects.md. `co_positions()` would need
the code object, which may be gone.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple


class Position(NamedTuple):
    """As co_positions() has it: lines from 1, columns in bytes of UTF-8 from 0."""

    line: int | None = None
    end_line: int | None = None
    column: int | None = None
    end_column: int | None = None


def position_at(table: bytes, first_line: int, unit: int) -> Position:
    """Of the instruction at this code unit; with no line if the table has none, or ends before."""
    units = 0
    for length, position in entries(table, first_line):
        units += length
        if unit < units:
            return position
    return Position()


def entries(table: bytes, line: int) -> Iterator[tuple[int, Position]]:
    """The code units of each entry, and their position. A table that is cut off ends early."""
    rest = iter(table)
    for head in rest:
        code, length = head >> 3 & 15, (head & 7) + 1
        try:
            step, position = read_entry(code, rest, line)
        except StopIteration:
            return
        line += step
        yield length, position


def read_entry(code: int, rest: Iterator[int], line: int) -> tuple[int, Position]:
    """The steps to the entry's line, and its position."""
    if code == 15:
        return 0, Position()
    if code == 14:
        step, lines, column, end = signed(rest), number(rest), number(rest), number(rest)
        line += step
        return step, Position(line, line + lines, before(column), before(end))
    if code == 13:
        step = signed(rest)
        return step, Position(line + step, line + step)
    if code >= 10:
        step = code - 10
        return step, Position(line + step, line + step, next(rest), next(rest))
    second = next(rest)
    column = code << 3 | second >> 4
    return 0, Position(line, line, column, column + (second & 15))


def number(rest: Iterator[int]) -> int:
    """Six bits in each byte, the lowest first; the seventh bit: another byte follows."""
    value = shift = 0
    while True:
        byte = next(rest)
        value |= (byte & 63) << shift
        shift += 6
        if not byte & 64:
            return value


def signed(rest: Iterator[int]) -> int:
    value = number(rest)
    return -(value >> 1) if value & 1 else value >> 1


def before(column: int) -> int | None:
    """Columns of this form begin at 1; 0 is none."""
    return column - 1 if column else None
