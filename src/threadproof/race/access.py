"""Race: two accesses to one variable with no order between them, as the detector reports them."""

from __future__ import annotations

from typing import NamedTuple

from threadproof.race.traits import Trait


class Access(NamedTuple):
    """One side of a race."""

    thread: int
    write: bool
    traits: int
    stack: int
    locks: tuple[int, ...]

    def has(self, trait: Trait) -> bool:
        return bool(self.traits & trait)


class Race(NamedTuple):
    """A row of _core.race_races(); `then` is the later thread's next write of the same variable, if any."""

    object: int
    owner: str | None
    part: str
    name: str | None
    earlier: Access
    later: Access
    then: Access | None
    times: int
    made: tuple[int, int]  # the thread and the stack of the allocation; 0 where they are not known


def as_race(row: tuple[object, ...]) -> Race:
    race = Race(*row)  # type: ignore[arg-type]
    then = Access(*race.then) if race.then else None
    return race._replace(earlier=Access(*race.earlier), later=Access(*race.later), then=then)
