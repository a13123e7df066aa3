"""MISSING, which stands for a value that is not there, as None may be one."""

from __future__ import annotations

from enum import Enum
from typing import Final


class Missing(Enum):
    """The type of MISSING."""

    MISSING = "missing"


MISSING: Final = Missing.MISSING
