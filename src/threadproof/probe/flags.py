"""The properties of an access; `_core.probe.ACCESS_FLAGS` has the same."""

from __future__ import annotations

from enum import IntFlag


class AccessFlag(IntFlag):
    """The probe sets them; the race detector adds UPDATE and CHECK to a write after a read of the same."""

    UPDATE = 1  # part of a read-modify-write
    CHECK = 2  # a read that a decision depends on, or the write decided on
    ATOMIC = 4  # one atomic step of a container
    ITERATE = 8  # goes over the whole container
    STRUCTURE = 16  # changes the set or the order of the elements
    LOCKED = 32  # at least one lock was held
    WRITE = 256  # a write; else it is a read
