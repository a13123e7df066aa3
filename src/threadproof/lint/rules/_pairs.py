"""The pairs of a check and an act that no lock makes one step: what several rules start from."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from threadproof.lint.facts.model import Function, Pair
from threadproof.lint.rule import Part
from threadproof.lint.tree import World
from threadproof.lint.tree.sharing import Shared


def unprotected_pairs(
    world: World, part: Part, is_form: Callable[[Pair], bool]
) -> Iterator[tuple[Function, Pair, Shared]]:
    """Each pair of a form that no critical section covers, with what is known of the sharing."""
    for function in part.functions:
        if function.asynchronous or world.sharing.in_setup(function):
            continue
        for pair in function.pairs:
            if is_form(pair) and not world.sharing.protected(function, pair.check.held, pair.act.held):
                yield function, pair, world.sharing.of(world.tree.variable(pair.act.place))
