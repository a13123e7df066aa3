"""Which locks a function takes, by itself and through the functions it calls, and in which order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from threadproof.lint.facts.model import Function, Span
from threadproof.lint.tree.calls import ANY_LOCK, Calls
from threadproof.lint.tree.index import Tree

# How many calls a lock may be away. Chains through more are mostly never taken.
DEEPEST = 4


class Taking(NamedTuple):
    """A lock taken by a function, at a span of its own: the acquire, or the call that leads there."""

    lock: str
    span: Span
    function: Function
    via: tuple[Function, ...] = ()  # the functions called on the way


class Order(NamedTuple):
    """`second` is taken while `first` is held."""

    first: str
    second: str
    taking: Taking


class Deadlocks:
    """Answers which locks code takes, for the rules on order and re-entry."""

    def __init__(self, tree: Tree, calls: Calls) -> None:
        self.tree = tree
        self.calls = calls
        self.known: dict[str, list[Taking]] = {}
        self._orders: list[Order] | None = None

    def own(self, function: Function) -> Iterator[Taking]:
        for acquire in function.acquires:
            lock = self.tree.lock(acquire.lock)
            if lock and acquire.blocking and not lock.startswith("decorator:"):
                yield Taking(lock, acquire.span, function)

    def taken_by(self, function: Function, depth: int = 0) -> list[Taking]:
        """The locks that a call of a function waits for."""
        if function.ref in self.known:
            return self.known[function.ref]
        found = list(self.own(function))
        self.known[function.ref] = found  # ends recursion
        if depth < DEEPEST:
            for call, callee in self.calls.callees.get(function.ref, ()):
                if self.is_certain(function, callee) and not callee.asynchronous and not callee.generator:
                    for taking in self.taken_by(callee, depth + 1):
                        if all(one.lock != taking.lock for one in found):
                            found.append(Taking(taking.lock, call.span, function, (callee, *taking.via)))
        return found

    def is_certain(self, caller: Function, callee: Function) -> bool:
        """Whether a call surely runs this function: it has no overrides that may run instead."""
        return not callee.owner or len(self.tree.overrides(callee)) == 0

    def orders(self) -> list[Order]:
        """Every pair of locks of which one is taken while the other is held."""
        if self._orders is None:
            self._orders = [
                order for function in self.tree.functions.values() for order in self.orders_in(function)
            ]
        return self._orders

    def orders_in(self, function: Function) -> Iterator[Order]:
        for acquire in function.acquires:
            second = self.tree.lock(acquire.lock)
            if second and acquire.blocking:
                for first in self.calls.locks_at(function, acquire.held) - {ANY_LOCK}:
                    yield Order(first, second, Taking(second, acquire.span, function))
        for call, callee in self.calls.callees.get(function.ref, ()):
            firsts = self.tree.locks(call.held)
            if not firsts or not self.is_certain(function, callee) or callee.asynchronous or callee.generator:
                continue
            for taking in self.taken_by(callee):
                for first in firsts:
                    yield Order(
                        first, taking.lock, Taking(taking.lock, call.span, function, (callee, *taking.via))
                    )
