"""The list of mutants fits the tree, and a few are killed; `python -m tests.mutants` kills them all."""

import pytest

from tests.mutants.__main__ import main
from tests.mutants.mutants import MUTANTS, Mutant
from tests.mutants.run import ROOT, apply, copied_tree, mutated


def test_every_mutant_still_fits_the_tree() -> None:
    for mutant in MUTANTS:
        mutated(mutant, ROOT)


def test_no_two_mutants_share_a_name() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)


def test_a_mutant_that_does_not_fit_is_refused() -> None:
    with copied_tree() as tree, pytest.raises(ValueError, match=r"unfit.*0 times, not once"):
        apply(Mutant("unfit", "src/core/base/count.hpp", "no such line", "", "nothing"), tree)


@pytest.mark.slow
def test_three_mutants_are_killed() -> None:
    names = ["hit-without-version", "gate-without-waiting", "marked-before-copied"]
    assert main([argument for name in names for argument in ("--only", name)]) == 0
