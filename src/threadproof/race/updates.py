"""Whether two steps on a value whose steps order (a map's key, an atomic) are a lost update.

Every such step is atomic, so only two of them in a row can be interrupted: a read, and a write that depends
on it. Whether a write depends on a read is seen in the code. Both are in one activation of a function, or in
functions that it calls, the read first. A read in a loop without the write waits for the value, so what
another thread wrote before was meant to be seen: a turn, a flag, a slot that is full or empty.
"""

from __future__ import annotations

import dis
import os
from collections.abc import Sequence
from enum import Enum, auto
from functools import lru_cache
from types import CodeType

from threadproof import _core
from threadproof.probe.flags import AccessFlag
from threadproof.race.access import Access, Race

PACKAGE = os.path.dirname(os.path.dirname(__file__)) + os.sep
# Frames of threadproof's own between the program and a structure.
OWN = tuple(PACKAGE + area + os.sep for area in ("maps", "sync", "probe", "race"))
DEEPEST = 2  # calls from the common function to the read or the write: deeper ones seldom belong together

Frame = tuple[CodeType, int]  # and the offset of its instruction


class Relation(Enum):
    """What a write has to do with the read before it."""

    DEPENDS = auto()
    WAITED = auto()
    NONE = auto()


def is_step(race: Race) -> bool:
    """Whether the two are steps on a value whose steps order."""
    return race.later.has(AccessFlag.STEP)


def is_update(race: Race) -> bool:
    """Whether the two are updates, of which another schedule loses one, or makes a decision outdated."""
    earlier = relation(race.before, race.earlier)
    if race.then is None:
        # a write amid another thread's update; or the check of a thread that would have acted itself
        return earlier is Relation.DEPENDS and (race.later.write or is_same_check(race))
    if relation(race.later, race.then) is not Relation.DEPENDS:
        return False
    if race.between or earlier is Relation.DEPENDS:
        return True
    # a store that gave the value to its reader is a handover; one that replaced another is an update of it
    return earlier is Relation.NONE and not race.earlier.has(AccessFlag.ABSENT)


def relation(read: Access | None, write: Access) -> Relation:
    if read is None:
        return Relation.NONE
    return relation_of(read.stack, write.stack)


@lru_cache(maxsize=4096)  # pairs of stacks: a program has few that matter
def relation_of(read: int, write: int) -> Relation:
    """By the numbers of their stacks."""
    return related(frames(read), frames(write))


def related(read: Sequence[Frame], write: Sequence[Frame]) -> Relation:
    common = innermost_common(read, write)
    if common is None:
        return Relation.NONE
    above, below = common
    (code, reads), (_, writes) = read[above], write[below]
    if any(loops_around(*frame) for frame in read[:above]):
        return Relation.WAITED
    if any(not start <= writes <= end for start, end in loops_around(code, reads)):
        return Relation.WAITED
    return Relation.DEPENDS if reads <= writes else Relation.NONE


def innermost_common(read: Sequence[Frame], write: Sequence[Frame]) -> tuple[int, int] | None:
    """Where both stacks have the same activation: how many frames of each are above it."""
    depths = [(i, j) for i in range(DEEPEST + 1) for j in range(DEEPEST + 1)]
    for above, below in sorted(depths, key=sum):
        if above >= len(read) or below >= len(write) or read[above][0] is not write[below][0]:
            continue
        # the deepest frames of a long stack are not kept
        if all(one == other for one, other in zip(read[above + 1 :], write[below + 1 :], strict=False)):
            return above, below
    return None


def is_same_check(race: Race) -> bool:
    """Whether both threads read at one place of the function in which the earlier one has written, too."""
    if race.before is None:
        return False
    earlier, later = frames(race.before.stack), frames(race.later.stack)
    above, _ = innermost_common(earlier, frames(race.earlier.stack)) or (0, 0)
    return earlier[: above + 1] == later[: above + 1]


def frames(stack: int) -> list[Frame]:
    """Those of the program, innermost first."""
    return [frame for frame in _core.probe.frames(stack) if not frame[0].co_filename.startswith(OWN)]


def loops_around(code: CodeType, offset: int) -> list[tuple[int, int]]:
    """The loops that the instruction is in: the offsets of their first and last instructions."""
    return [(start, end) for start, end in loops_in(code) if start <= offset <= end]


@lru_cache(maxsize=1024)  # functions: as few as have such steps
def loops_in(code: CodeType) -> tuple[tuple[int, int], ...]:
    return tuple(
        (each.argval, each.offset)
        for each in dis.get_instructions(code)
        # of an await there is another backward jump, which goes on in the same step
        if each.opname == "JUMP_BACKWARD"
    )
