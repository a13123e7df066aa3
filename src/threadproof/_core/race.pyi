# What threadproof.race is made of; on CPython 3.14 and 3.15 only. A thread is a number of the detector's own.
from collections.abc import Callable
from typing import TypeAlias

_RawAccess: TypeAlias = tuple[int, bool, int, int, tuple[int, ...]]  # thread, write, flags, stack, locks

def start(history: int, on_race: Callable[[], object] | None, /) -> None: ...
def arm(name: str, /) -> None: ...
def stop() -> None: ...
def assume_threads() -> None: ...
def sample(burst: int, seed: int, /) -> None: ...
def limit(variables: int, /) -> None: ...
def exclude(change: int, /) -> None: ...
def race_count() -> int: ...

# How many there are of everything that a long run could add to.
def counts() -> dict[str, int]: ...

# Asserts the detector's invariants while no other thread runs; RuntimeError if one is broken.
def check() -> None: ...

# object, owner, part, name, earlier, later, then, before, between, times, (allocated by this thread, at this
# stack)
def races(
    since: int, /
) -> list[
    tuple[
        int,
        str | None,
        str,
        str | None,
        _RawAccess,
        _RawAccess,
        _RawAccess | None,
        _RawAccess | None,
        bool,
        int,
        tuple[int, int],
    ]
]: ...

# thread: (name, started by this thread, at this stack)
def threads() -> dict[int, tuple[str, int, int]]: ...
