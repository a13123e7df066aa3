"""A thread waits for something slow, or for another thread, with a lock held.

## What it does
Reports, under a lock: `sleep`, network calls and child processes, where the lock also guards data; and
`join()`, `get()` and `wait()` without a timeout. Where what is waited for needs the lock itself, see CM221.

## Why is this bad?
Everybody who wants the lock waits as long.

## Example
```python
def stop(self):
    with self._lock:
        self._running = False
        self._worker.join()  # everybody waits for the worker
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
from threadproof.lint.rule import LintRule, Part, Report
from threadproof.lint.rules._deadlocks import waited_for
from threadproof.lint.tree import World

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
            if waited_for(world, call, locks) is not None:
                continue  # that is a deadlock: CM221
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
