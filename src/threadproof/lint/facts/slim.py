"""Less of the facts of files without any sign of threads: what other files may need of them, and no more."""

from __future__ import annotations

from sys import intern

from threadproof.lint.facts.model import Call, Function, Module, Span
from threadproof.lint.knowledge.containers import WRITES

SIGNS = frozenset({"threads", "locks", "web"})
# What of a function grows while its file is read. Most of it stays empty, and an empty list takes 56 bytes
# where all empty tuples are one: a fifth of the memory of all facts.
GROWN = ("accesses", "pairs", "calls", "acquires", "leaks", "awaits", "returned")


def slim(module: Module) -> None:
    """Give up what no rule will ask for, and make what is left as small as it can be."""
    if not module.signs & SIGNS:
        forget(module)
    for function in module.functions.values():
        seal(function)
    share(module)


def seal(function: Function) -> None:
    """Tuples in place of lists: nothing is added any more."""
    for name in GROWN:
        setattr(function, name, tuple(getattr(function, name)))


def forget(module: Module) -> None:
    """Keep the calls into the same package, and the uses of places that the file also changes.

    Such a file starts no thread and takes no lock. Its functions may run in a thread that another file
    starts, so that what they change counts; what they only read, and what they call outside of the package,
    does not.
    """
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


def share(module: Module) -> None:
    """One object for equal names, numbers and tuples: made apart, they take a third of the memory of facts.

    To be done again with facts that come out of a pickle, which has one text for all uses in a file, and no
    more.
    """
    same: dict[tuple[object, ...], tuple[object, ...]] = {}
    for function in module.functions.values():
        function.span = shared_span(function.span)
        for access in function.accesses:
            access.place, access.kind = intern(access.place), intern(access.kind)
            access.key, access.value = intern(access.key), intern(access.value)
            access.span = shared_span(access.span)
        for call in function.calls:
            share_call(call, same)


def share_call(call: Call, same: dict[tuple[object, ...], tuple[object, ...]]) -> None:
    call.target, call.receiver, call.into = intern(call.target), intern(call.receiver), intern(call.into)
    if call.args:
        args = tuple(map(intern, call.args))
        call.args = same.setdefault(args, args)  # type: ignore[assignment]
    if call.keywords:
        words = tuple([(intern(name), intern(value)) for name, value in call.keywords])
        call.keywords = same.setdefault(words, words)  # type: ignore[assignment]
    call.span = shared_span(call.span)


NUMBERS = list(range(10_000))  # an int takes 28 bytes, and few files have more lines


def shared_span(span: Span) -> Span:
    line, column, end_line, end_column = span
    if end_line >= len(NUMBERS):
        return span
    return Span(NUMBERS[line], column, NUMBERS[end_line], end_column)
