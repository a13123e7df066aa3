"""What the files of a tree say together; World is what rules that look across functions are given."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from threadproof.lint.facts.model import Module
from threadproof.lint.tree.calls import Calls
from threadproof.lint.tree.deadlocks import Deadlocks
from threadproof.lint.tree.index import Tree
from threadproof.lint.tree.sharing import Sharing
from threadproof.lint.tree.threads import Threads


@dataclass(slots=True)
class World:
    """The facts of all files, and what follows from them."""

    tree: Tree
    calls: Calls
    threads: Threads
    sharing: Sharing
    deadlocks: Deadlocks


def join(modules: Iterable[Module]) -> World:
    """Join the facts of files that are linted together."""
    tree = Tree(modules)
    calls = Calls(tree)
    threads = Threads(tree, calls)
    return World(tree, calls, threads, Sharing(tree, calls, threads), Deadlocks(tree, calls))
