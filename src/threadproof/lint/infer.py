"""Annotations that the code already keeps: `GuardedBy` for attributes always used under one lock."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from threadproof.lint.engine import PACKAGES, parse
from threadproof.lint.files import FileError, module_name, read
from threadproof.lint.knowledge.containers import WRITES
from threadproof.lint.tree import World, join
from threadproof.lint.tree.evidence import best_lock
from threadproof.lint.tree.sharing import Shared

FEWEST = 2  # places: one place under a lock may be so by chance


def proposals(paths: Sequence[str], largest: int) -> Iterator[str]:
    """A line for each annotation that could be written: where, what, and how often it holds already."""
    parsed = []
    for path in paths:
        try:
            parsed.append(parse(path, read(path, largest)[0], module_name(path, PACKAGES), ()))
        except FileError:
            continue
    world = join(one.module for one in parsed if one.module is not None)
    for module in world.tree.modules.values():
        yield from guards(world, module.name)
        yield from holders(world, module.name)


def guards(world: World, module: str) -> Iterator[str]:
    for shared in world.sharing.shared_in(module):
        lock, count = best_lock(shared)
        owner = shared.variable.owner
        if (
            owner is None
            or not lock
            or lock.startswith("decorator:")
            or count < FEWEST
            or shared.declared_lock
        ):
            continue
        if not any(use.access.kind in WRITES for use in shared.guarded[lock]) or shared.bare:
            continue
        name = lock.rpartition(".")[2]
        path, line = place_of(world, shared)
        attribute = f"{owner.name}.{shared.variable.name}"
        yield f'{path}:{line}: {attribute}: Annotated[..., GuardedBy("{name}")]  # {count} of {count} places'


def holders(world: World, module: str) -> Iterator[str]:
    """`@requires_lock` for helpers that are only ever called with a lock held."""
    for function in world.tree.modules[module].functions.values():
        locks = sorted(world.calls.entry_locks[function.ref])
        declared = any(note.startswith("requires") for note in function.notes)
        if not function.owner or declared or len(locks) != 1 or not locks[0].startswith(function.owner + "."):
            continue
        callers = len(world.calls.callers[function.ref])
        path = world.tree.module_of[function.ref].path
        name = locks[0].rpartition(".")[2]
        where = f"{path}:{function.span.line}: {function.name}()"
        yield f'{where}: @requires_lock("{name}")  # held by all {callers} callers'


def place_of(world: World, shared: Shared) -> tuple[str, int]:
    """Where the attribute is first given a value."""
    uses = sorted(
        shared.variable.uses, key=lambda use: (use.function.ref not in world.calls.setup, use.access.span)
    )
    return world.tree.module_of[uses[0].function.ref].path, uses[0].access.span.line
