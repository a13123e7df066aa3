"""The table as plain text, and the cells of a row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from threadproof.watch.top.rows import Row

# The columns fit 80 characters: 20 + 10 + 8 + 8 + 5 + 7 + 7 and six blanks, and the rest for the trend.
WIDTHS = {"name": 20, "kind": 10, "size": 8, "growth/s": 8, "hits": 5, "waits/s": 7, "checks": 7}
RIGHT = {"size", "growth/s", "hits", "waits/s"}


def cells(row: Row) -> list[str]:
    """The row's values as text."""
    return [
        row.name,
        row.kind,
        number(row.size),
        number(row.growth),
        "" if row.hits is None else f"{row.hits:.0%}",
        number(row.waits),
        row.verdict,
    ]


def number(value: float | None) -> str:
    """At most seven characters: 12345, 1.2M."""
    if value is None:
        return ""
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e5, "k")):
        if abs(value) >= limit:
            return f"{value / (1e3 if unit == 'k' else limit):.1f}{unit}"
    return f"{value:.0f}" if value == int(value) else f"{value:.1f}"


def cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 1]}…"


def line(values: Sequence[str]) -> str:
    parts = []
    for (name, width), value in zip(WIDTHS.items(), values, strict=True):
        text = cut(value, width)
        parts.append(text.rjust(width) if name in RIGHT else text.ljust(width))
    return " ".join(parts).rstrip()


def as_text(rows: Sequence[Row], answer: Mapping[str, Any]) -> str:
    """The table, and the findings below it."""
    lines = [line(list(WIDTHS)), *(line(cells(row)) for row in rows), ""]
    lines += [f"{each['severity']}: {each['check']}: {each['message']}" for each in answer["findings"]]
    process = answer["process"]
    return "\n".join([*lines, f"{process['threads']} threads, {process['retired_bytes']:,} retired bytes"])
