"""MISSING, which stands for the value of an absent key, because None may be a value."""

from __future__ import annotations

from enum import Enum
from typing import Final


class Missing(Enum):
    """The type of MISSING."""

    MISSING = "missing"


MISSING: Final = Missing.MISSING
