"""The record that structures return from `.stats()`."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, dataclass

import pytest

from threadproof.stats import Stats


@dataclass(frozen=True, slots=True)
class Figures(Stats):
    """A structure's own record."""

    size: int
    full: bool


def test_a_record_is_frozen_and_gives_its_figures_by_name() -> None:
    figures = Figures(3, full=False)
    assert figures.as_dict() == {"size": 3, "full": False}
    with pytest.raises(FrozenInstanceError):
        figures.size = 4  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]  # that is the claim


def test_records_of_equal_figures_are_equal() -> None:
    assert Figures(3, full=True) == Figures(3, full=True) != Figures(4, full=True)
