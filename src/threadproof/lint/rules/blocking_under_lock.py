"""A thread waits for something slow, or for another thread, with a lock held.

## What it does
Reports, under a lock: `join()` on a thread, `result()` or `shutdown()` of a pool whose code takes that lock
(a deadlock); and `sleep`, network calls and child processes, where the lock also guards data.

## Why is this bad?
Everybody who wants the lock waits as long. If what is waited for needs the lock itself, all wait for ever.

## Example
```python
def stop(self):
    with self._lock:
        self._running = False
        self._worker.join()  # the worker wants self._lock
```

Use instead:

```python
def stop(self):
    with self._lock:
        self._running = False
    self._worker.join()
```

## When it is fine
When the lock is there to let only one thread at a time do the slow thing, and guards nothing else.

## Sources
SpotBugs SWL_SLEEP_WITH_LOCK_HELD; Infer STARVATION.
"""

from __future__ import annotations

from collections.abc import Iterator

from threadproof.findings import Severity
from threadproof.lint.facts.model import Call, Function
from threadproof.lint.knowledge.blocking import wait_of
from threadproof.lint.knowledge.containers import CHANGES
from threadproof.lint.rule import LintRule, Part, Related, Report
from threadproof.lint.tree import World
from threadproof.lint.tree.threads import Entry

WAITS = frozenset({"join", "result", "shutdown", "get"})
ENDLESS = {
    "threading.Thread.join": "waits for a thread",
    "threading.Event.wait": "waits for an event",
    "queue.Queue.get": "waits for a queue",
    "queue.Queue.join": "waits for a queue",
    "queue.SimpleQueue.get": "waits for a queue",
    "concurrent.futures.ThreadPoolExecutor.shutdown": "waits for a pool",
}
SLOW = (
    "io",
    "send",
    "recv",
    "write",
    "read",
    "conn",
    "request",
    "print",
    "process",
    "build",
    "download",
    "fetch",
    "start",
    "file",
)


def check(world: World, part: Part) -> Iterator[Report]:
    for function in part.functions:
        if function.asynchronous:
            continue
        seen: set[str] = set()
        for call in function.calls:
            locks = sorted(lock for lock in world.calls.locks_at(function, call.held) if lock != "*")
            if not locks:
                continue
            entry = waited_for(world, call, locks)
            if entry is not None:
                yield deadlock(world, function, call, entry, locks)
                continue
            words = wait_of(world.tree.full_target(call)) or endless(world, call)
            direct = sorted(world.tree.locks(call.held))
            if words and words not in seen and direct and guards_data(world, function, call):
                seen.add(words)
                yield Report(
                    call.span,
                    f"{call.method}() {words} while {world.tree.shown(direct[-1])} is held",
                    function=function.ref,
                    subject=direct[-1],
                    severity=Severity.NOTE,
                    confidence=0.6,
                    fix="do it outside of the lock, and take the lock for the result",
                )


def endless(world: World, call: Call) -> str:
    """What a call without a timeout waits for: another thread, a queue, an event, a result."""
    if call.args or call.keywords or not call.receiver:
        return ""
    if call.receiver.endswith(".submit()"):
        return "waits for a task" if call.method == "result" else ""
    return ENDLESS.get(world.tree.full_target(call), "")


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
    for entry in world.threads.entries:
        place = world.tree.canonical(entry.place).removesuffix("[]") if entry.place else ""
        pool = world.tree.canonical(entry.call.receiver) if entry.call and entry.kind == "pool" else ""
        same = receiver == place if call.method in ("join", "result", "get") else receiver == pool
        if call.method == "shutdown" and ("False" in call.args or call.keyword("wait") is not None):
            continue
        if not same or not receiver or entry.kind not in ("thread", "timer", "pool"):
            continue
        for ref in world.threads.reach([entry.function.ref]):
            taken = {taking.lock for taking in world.deadlocks.own(world.tree.functions[ref])}
            if taken & set(locks):
                return entry
    return None


def deadlock(world: World, function: Function, call: Call, entry: Entry, locks: list[str]) -> Report:
    lock = locks[0]
    takers = [
        (ref, taking)
        for ref in sorted(world.threads.reach([entry.function.ref]))
        for taking in world.deadlocks.own(world.tree.functions[ref])
        if taking.lock in locks
    ]
    ref, taking = takers[0]
    return Report(
        call.span,
        f"{call.method}() waits for {entry.function.name}() while {world.tree.shown(lock)} is held, "
        f"which {entry.function.name}() needs",
        function=function.ref,
        subject=lock,
        severity=Severity.ERROR,
        related=[Related("it takes the lock here", taking.span, world.tree.module_of[ref].path, ref)],
        fix="release the lock before waiting",
    )


def guards_data(world: World, function: Function, call: Call) -> bool:
    """Whether the lock guards more than the slow call: shared data, or another critical section."""
    section = {hold for hold in call.held if world.tree.lock(hold.lock)}
    lock = {world.tree.lock(hold.lock) for hold in section}
    if any(word in world.tree.shown(name).lower() for name in lock for word in SLOW):
        return False
    if endless(world, call):
        return True
    if wait_of(world.tree.full_target(call)) == "sleeps":
        return not call.loop
    return any(access.kind in CHANGES and section & set(access.held) for access in function.accesses)


RULE = LintRule(
    code="CM207",
    name="blocking-under-lock",
    message="a thread waits with a lock held",
    severity=Severity.WARNING,
    group="preview",
    advice="wait outside of the lock",
    cwe=833,
    check_tree=check,
)
