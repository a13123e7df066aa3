"""The evidence that a finding shows: the guarded places and this one, and the threads that come here."""

from __future__ import annotations

from threadproof.lint.facts.model import Access, Function
from threadproof.lint.knowledge.containers import WRITES
from threadproof.lint.rule import Related
from threadproof.lint.tree import World
from threadproof.lint.tree.sharing import Shared
from threadproof.lint.tree.threads import CONCURRENT


def guard_of(world: World, function: Function, access: Access) -> str:
    """` holding self._lock`, or nothing."""
    locks = sorted(world.calls.locks_at(function, access.held) - {"*"})
    return f", holding {world.tree.shown(locks[0])}" if locks else ""


def other_writers(shared: Shared, function: Function) -> bool:
    return any(use.access.kind in WRITES and use.function is not function for use in shared.uses)


def best_lock(shared: Shared) -> tuple[str, int]:
    """The lock that most uses are under, and how many they are."""
    counts = [(len(uses), lock) for lock, uses in shared.guarded.items() if lock != "*"]
    count, lock = max(counts, default=(0, ""))
    return lock, count


def sides(world: World, shared: Shared, function: Function, access: Access) -> list[Related]:
    """The other side: where it is guarded, who else writes, which thread comes here."""
    found: list[Related] = []
    lock, count = best_lock(shared)
    if lock:
        guarded = next(
            (use for use in shared.guarded[lock] if use.access.kind in WRITES), shared.guarded[lock][0]
        )
        found.append(
            Related(
                f"{world.tree.shown(lock)} is held in {count} of {len(shared.uses)} places, as here",
                guarded.access.span,
                world.tree.module_of[guarded.function.ref].path,
                guarded.function.ref,
            )
        )
    other = next(
        (
            use
            for use in shared.uses
            if use.access.kind in WRITES and use.access is not access and use.function is not function
        ),
        None,
    )
    if other is not None:
        found.append(
            Related(
                "changed here" + guard_of(world, other.function, other.access),
                other.access.span,
                world.tree.module_of[other.function.ref].path,
                other.function.ref,
            )
        )
    return [*found, *thread_of(world, shared, function)]


def thread_of(world: World, shared: Shared, function: Function) -> list[Related]:
    """How one of the threads comes here, or to another use."""
    for use_function in (function, *(use.function for use in shared.uses)):
        for entry in world.threads.reached.get(use_function.ref, ()):
            if entry.kind in CONCURRENT and entry.starter is not None and entry.call is not None:
                path = world.tree.module_of[entry.starter.ref].path
                what = f"{entry.function.name}() runs in a thread started here"
                return [Related(what, entry.call.span, path, entry.starter.ref)]
    return []
