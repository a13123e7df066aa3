"""A thread makes what callers use, and a caller may come before the thread has made it.

## What it does
Reports a use of an attribute that only a started thread sets, as its event loop, process or socket, in
a public method that neither tests it nor waits: no `Event.wait()`, no `join()`, no `get()`, in the method or
where the thread is started.

## Why is this bad?
`start()` returns when the thread has begun, and not when it has done anything. A caller who comes at once
finds no attribute, or None.

## Example
```python
class Monitor(threading.Thread):
    def run(self):
        self._process = subprocess.Popen(["tail", "-f", "log"])
        self._process.wait()

    def stop(self):
        self._process.terminate()  # there is none yet, if stop() comes early
```

Use instead:

```python
class Monitor(threading.Thread):
    def __init__(self):
        super().__init__()
        self._ready = threading.Event()

    def run(self):
        self._process = subprocess.Popen(["tail", "-f", "log"])
        self._ready.set()
        self._process.wait()

    def stop(self):
        self._ready.wait()
        self._process.terminate()
```

or make it before the thread is started.

## When it is fine
When callers of the method wait for the thread in some other way.

## Sources
CWE-908; fixed so in the log monitor of devlib and in clients that run an event loop in a thread.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from threadproof.findings import Severity
from threadproof.lint.facts.expressions import DEREFERENCE
from threadproof.lint.facts.model import Access, Function
from threadproof.lint.rule import LintRule, Part, Related, Report
from threadproof.lint.tree import World
from threadproof.lint.tree.index import Use, Variable
from threadproof.lint.tree.threads import MAIN, Entry

WAITS = frozenset({"wait", "wait_for", "join", "result", "get", "acquire", "sleep", "is_set", "is_alive"})
# Names of methods that the thread itself runs, through a library.
CALLED_BACK = re.compile(r"^_*(on|handle|got|do|process|did)(_|[A-Z]|$)|callback|handler", re.IGNORECASE)
MADE = "call:"  # what is set: something made, and no flag, number or piece of data


def check(world: World, part: Part) -> Iterator[Report]:
    for variable in world.tree.variables_of(part.name):
        if variable.owner is None or "[]" in variable.place or variable.kind() == "safe":
            continue
        found = set_by(world, variable)
        if found is None:
            continue
        entry, write = found
        seen: set[str] = set()
        for use in variable.uses:
            if use.function.ref not in seen and is_early(world, variable, use, entry):
                seen.add(use.function.ref)
                yield report(world, variable, use, entry, write)


def set_by(world: World, variable: Variable) -> tuple[Entry, Use] | None:
    """The one thread that gives an attribute its only value, and where; None if others do."""
    writes = [use for use in variable.uses if use.access.kind == "write" and use.access.value != "none"]
    if not writes or not all(use.access.value.startswith(MADE) for use in writes):
        return None
    entries: dict[str, Entry] = {}
    for use in writes:
        here = world.threads.entries_at(use.function, True)
        if use.function.ref in world.calls.setup or MAIN in world.threads.roles(use.function, True):
            return None
        if len(here) != 1 or here[0].kind != "thread" or here[0].many:
            return None
        entries[here[0].function.ref] = here[0]
    if len(entries) != 1:
        return None
    return next(iter(entries.values())), writes[0]


def is_early(world: World, variable: Variable, use: Use, entry: Entry) -> bool:
    """Whether a use may come before the thread has set the attribute, and would fail then."""
    function, access = use
    if access.value != DEREFERENCE or access.alias or function.name.startswith("_"):
        return False
    if function.asynchronous or function.ref in world.calls.setup or CALLED_BACK.search(function.name):
        return False
    if world.threads.entries_at(function, True) or function.ref in world.calls.escaped:
        return False
    if world.calls.callers.get(function.ref) or {"AttributeError", "*"} & set(access.caught):
        return False
    if world.calls.locks_at(function, access.held):
        return False
    return not is_tested(variable, function, access) and not waits(world, function, access, entry)


def is_tested(variable: Variable, function: Function, access: Access) -> bool:
    """Whether a function looks at the attribute, or at another one that may tell, before it uses it."""
    owner = variable.place.rpartition(".")[0]
    return any(
        one.span < access.span and one.place.rpartition(".")[0] == owner and one.value != DEREFERENCE
        for one in function.accesses
        if one.kind in ("read", "truth", "hasattr", "asked")
    )


def waits(world: World, function: Function, access: Access, entry: Entry) -> bool:
    """Whether a function waits before a use, or whoever starts the thread does after that."""
    if any(call.method in WAITS and call.span < access.span for call in function.calls):
        return True
    starters = [entry.starter] if entry.starter is not None else starters_of(world, entry)
    return any(call.method in WAITS for starter in starters for call in starter.calls)


def starters_of(world: World, entry: Entry) -> list[Function]:
    """The methods of a class of threads that start their own thread, and `start` itself."""
    methods = [world.tree.functions[ref] for ref in world.tree.classes[entry.function.owner].methods.values()]
    return [one for one in methods if one.name == "start" or any(c.method == "start" for c in one.calls)]


def report(world: World, variable: Variable, use: Use, entry: Entry, write: Use) -> Report:
    related = [Related("set here, in the thread", write.access.span, function=write.function.ref)]
    if entry.starter is not None and entry.call is not None:
        related.append(Related("which is started here", entry.call.span, function=entry.starter.ref))
    return Report(
        use.access.span,
        f"{variable.shown} is set by a thread, which may not have come so far",
        function=use.function.ref,
        subject=variable.place,
        related=related,
        confidence=0.7,
    )


RULE = LintRule(
    code="CM410",
    name="set-by-thread",
    message="used before the thread that sets it may have done so",
    severity=Severity.WARNING,
    group="preview",
    advice="wait for an Event that the thread sets, or make it before the thread is started",
    since="0.2",
    cwe=908,
    per_variable=True,
    per_function=True,
    check_tree=check,
)
