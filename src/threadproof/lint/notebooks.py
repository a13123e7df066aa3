"""Notebooks: the code of their cells as one text, and back from its lines to cells."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Sequence
from typing import Any


class NotebookError(ValueError):
    """Text that is no notebook."""


def code_of(text: str) -> tuple[str, list[int]]:
    """The code of all cells, one after another, and the line that each begins at.

    Lines for IPython, such as `%matplotlib` and `!ls`, become `pass`. A cell that is for another language as
    a whole (`%%bash`) has no code. Numbers of cells count code cells only, from 1.
    """
    try:
        cells = json.loads(text)["cells"]
        sources = [source_of(cell) for cell in cells if cell["cell_type"] == "code"]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise NotebookError(f"{type(error).__name__}: {error}") from None
    lines: list[str] = []
    begins: list[int] = []
    for source in sources:
        begins.append(len(lines) + 1)
        cell = source.split("\n")
        foreign = cell[0].startswith("%%")
        lines += ["" if foreign else plain(line) for line in cell]
    return "\n".join(lines) + "\n", begins


def source_of(cell: dict[str, Any]) -> str:
    source = cell["source"]
    return source if isinstance(source, str) else "".join(source)


def plain(line: str) -> str:
    """A line without IPython's own syntax."""
    bare = line.lstrip()
    if bare.startswith(("%", "!")) or bare.rstrip().endswith("?"):
        return line[: len(line) - len(bare)] + "pass"
    return line


def place_in(begins: Sequence[int], line: int) -> tuple[int, int]:
    """The cell that a line of the code is in, and the line in that cell."""
    cell = bisect_right(begins, line)
    return cell, line - begins[cell - 1] + 1 if cell else line
