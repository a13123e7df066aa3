"""Waiting, with a lock held, for code that takes that lock."""

from __future__ import annotations

from collections.abc import Iterator

from threadproof.lint.facts.expressions import FALSE
from threadproof.lint.facts.model import Call
from threadproof.lint.tree import World
from threadproof.lint.tree.deadlocks import Taking
from threadproof.lint.tree.threads import Entry

WAITS = frozenset({"join", "result", "shutdown", "get"})


def waited_for(world: World, call: Call, locks: list[str]) -> Entry | None:
    """The entry whose end a call waits for, if its code takes one of the locks that are held."""
    if (
        call.method not in WAITS
        or not call.receiver
        or (call.method == "get" and not call.receiver.endswith(")"))
    ):
        return None
    if call.method == "join" and (call.args or call.keywords):
        return None  # it gives up after a while
    receiver = world.tree.canonical(call.receiver).removesuffix("[]")
    type_ = receiver if receiver in world.tree.classes else world.tree.type_of(receiver)
    for entry in world.threads.entries:
        place = world.tree.canonical(entry.place).removesuffix("[]") if entry.place else ""
        pool = world.tree.canonical(entry.call.receiver) if entry.call and entry.kind == "pool" else ""
        same = receiver == place if call.method in ("join", "result", "get") else receiver == pool
        if call.method == "join" and entry.kind == "thread" and entry.starter is None:
            same = entry.function.owner == type_  # run() of a class of threads
        if call.method == "shutdown" and FALSE in (*call.args, call.keyword("wait")):
            continue
        if not same or not receiver or entry.kind not in ("thread", "timer", "pool"):
            continue
        if next(takings(world, entry, locks), None):
            return entry
    return None


def takings(world: World, entry: Entry, locks: list[str]) -> Iterator[tuple[str, Taking]]:
    """The functions of the entry that take one of the locks, and where."""
    for ref in sorted(world.threads.reach([entry.function.ref])):
        for taking in world.deadlocks.own(world.tree.functions[ref]):
            if taking.lock in locks:
                yield ref, taking
