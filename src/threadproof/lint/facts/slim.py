"""Less of the facts of files without any sign of threads: what other files may need of them, and no more."""

from __future__ import annotations

from threadproof.lint.facts.model import Module
from threadproof.lint.knowledge.containers import WRITES

SIGNS = frozenset({"threads", "locks", "web"})


def slim(module: Module) -> None:
    """Keep the calls into the same package, and the uses of places that the file also changes.

    Such a file starts no thread and takes no lock. Its functions may run in a thread that another file
    starts, so that what they change counts; what they only read, and what they call outside of the package,
    does not.
    """
    if module.signs & SIGNS:
        return
    package = module.name.partition(".")[0] + "."
    functions = module.functions.values()
    changed = {
        access.place
        for function in functions
        if function.name != "__init__"
        for access in function.accesses
        if access.kind in WRITES
    }
    for function in functions:
        function.calls = [call for call in function.calls if call.target.startswith(package)]
        function.awaits = []
        function.accesses = [
            access for access in function.accesses if access.place in changed or access.kind == "write"
        ]
        function.pairs = [pair for pair in function.pairs if pair.act.place in changed]
