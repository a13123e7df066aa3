"""Race: two accesses to one variable with no order between them, as the detector reports them."""

from __future__ import annotations

from typing import NamedTuple

from threadproof.probe.flags import AccessFlag


class Access(NamedTuple):
    """One side of a race."""

    thread: int
    write: bool
    flags: int  # of AccessFlag
    stack: int
    locks: tuple[int, ...]

    def has(self, flag: AccessFlag) -> bool:
        return bool(self.flags & flag)


class Race(NamedTuple):
    """A row of _core.race.races(); `then` is the later thread's next write of the same variable, if any."""

    object: int
    owner: str | None
    part: str
    name: str | None
    earlier: Access
    later: Access
    then: Access | None
    times: int
    made: tuple[int, int]  # the thread and the stack of the allocation; 0 if they are unknown


def as_race(row: tuple[object, ...]) -> Race:
    race = Race(*row)  # type: ignore[arg-type]
    then = Access(*race.then) if race.then else None
    return race._replace(earlier=Access(*race.earlier), later=Access(*race.later), then=then)
