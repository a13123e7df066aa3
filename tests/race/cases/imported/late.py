"""Has a global that it stores once; other modules store it again."""

from __future__ import annotations

level = 0


def read_level() -> int:
    return level
