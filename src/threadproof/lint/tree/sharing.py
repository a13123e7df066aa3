"""Which variables threads share, and how it is known."""

from __future__ import annotations

from dataclasses import dataclass, field

from threadproof.lint.facts.model import Access, Class, Function, Held
from threadproof.lint.knowledge import values
from threadproof.lint.knowledge.containers import WRITES
from threadproof.lint.tree.calls import ANY_LOCK, Calls
from threadproof.lint.tree.index import Tree, Use, Variable
from threadproof.lint.tree.threads import CONCURRENT, MAIN, Threads


@dataclass(slots=True)
class Shared:
    """What is known of the sharing of one variable.

    `guarded` are the uses under each lock, and `bare` those under none, of the uses that count: not those of
    set-up, nor those before a thread's start or after its end. `score` is how likely threads share it, 0 to 1.
    """

    variable: Variable
    uses: list[Use] = field(default_factory=list)
    guarded: dict[str, list[Use]] = field(default_factory=dict)
    bare: list[Use] = field(default_factory=list)
    threads: set[str] = field(default_factory=set)
    crossing: bool = False  # used by several threads that the tree starts
    many: bool = False  # used by a function that several threads run at once
    owner_locked: bool = False  # its class, or its module, has a lock that it uses
    claims: bool = False  # its class claims to be thread-safe
    single: bool = False  # declared to belong to one thread, or not to be shared
    functional: bool = False
    declared_lock: str = ""

    @property
    def score(self) -> float:
        if self.single:
            return 0.0
        if self.crossing or self.many or self.declared_lock:
            return 1.0
        if self.guarded:
            return 0.9
        if self.claims:
            return 0.8
        return 0.6 if self.owner_locked else 0.3


class Sharing:
    """Answers what threads share, one variable at a time."""

    def __init__(self, tree: Tree, calls: Calls, threads: Threads) -> None:
        self.tree = tree
        self.calls = calls
        self.threads = threads
        self.known: dict[str, Shared] = {}
        self.locked_owners = self.find_locked_owners()

    def find_locked_owners(self) -> set[str]:
        """The classes and modules that take a lock of their own outside of set-up."""
        owners: set[str] = set()
        for function in self.tree.functions.values():
            for acquire in function.acquires:
                lock = self.tree.lock(acquire.lock)
                if lock and self.tree.lock_kind(lock) not in ("async", "process"):
                    owners.add(lock.rpartition(".")[0])
                    if function.owner:
                        owners.add(function.owner)
        return owners

    def of(self, variable: Variable) -> Shared:
        found = self.known.get(variable.place)
        if found is None:
            found = self.known[variable.place] = self.find(variable)
        return found

    def find(self, variable: Variable) -> Shared:
        shared = Shared(variable)
        instance = variable.owner is not None
        self.note_declared(shared, variable.owner)
        for use in variable.uses:
            if not self.counts(use, variable):
                continue
            shared.uses.append(use)
            shared.threads |= self.threads.roles(use.function, instance)
            if self.is_async_only(use.function):
                continue
            locks = self.calls.locks_at(use.function, use.access.held)
            for lock in locks:
                shared.guarded.setdefault(lock, []).append(use)
            if not locks:
                shared.bare.append(use)
        self.note_crossing(shared, instance)
        owner = variable.place.rpartition(".")[0]
        shared.owner_locked = owner in self.locked_owners or bool(
            variable.owner and self.locked_owners & set(self.tree.mro(variable.owner.ref))
        )
        return shared

    def note_declared(self, shared: Shared, owner: Class | None) -> None:
        """Take in what comments, docstrings and decorators say of the class."""
        if owner is None:
            return
        notes = owner.notes
        shared.claims = bool({"claims_safe", "thread_safe", "shared"} & notes)
        shared.single = "not_shared" in notes or any(note.startswith("confined") for note in notes)
        lock = owner.guards.get(shared.variable.name)
        if lock:
            shared.declared_lock = self.tree.lock(f"{owner.ref}.{lock}") or f"{owner.ref}.{lock}"

    def note_crossing(self, shared: Shared, instance: bool) -> None:
        """Whether a write and another use may happen at once in threads that the tree starts."""
        if "<locals>" in shared.variable.place:
            self.note_crossing_local(shared)
            return
        running = [use for use in shared.uses if self.threads.roles(use.function, instance) - {MAIN}]
        if not running:
            return
        for use in shared.uses:
            if use.access.kind in WRITES:
                others = running if use not in running else shared.uses
                if any(self.threads.concurrent(use.function, other.function, instance) for other in others):
                    shared.crossing = True
                    break
        shared.many = any(self.threads.many(use.function, instance) for use in running)

    def note_crossing_local(self, shared: Shared) -> None:
        """A local variable is shared only with a function inside its own that runs in a thread."""
        inside = shared.variable.place.rpartition(".")[0] + "."
        for use in shared.uses:
            entries = [e for e in self.threads.entries_at(use.function, False) if e.function.ref.startswith(inside)]
            writes = any(other.access.kind in WRITES for other in shared.uses)
            if entries and writes:
                many = any(entry.many for entry in entries)
                shared.many |= many
                shared.crossing |= many or any(
                    other.function is not use.function and other.function.ref not in self.threads.targets
                    for other in shared.uses
                )

    def counts(self, use: Use, variable: Variable) -> bool:
        """Whether a use can happen while other threads use the variable too."""
        function, access = use
        if function.ref in self.calls.setup:
            return False
        if self.is_outer_local(use, variable):
            return not self.threads.before_start(function, access.span.line, access.loop) and not (
                self.threads.after_join(function, access.span.line)
            )
        return not self.threads.before_start(function, access.span.line, access.loop)

    def is_outer_local(self, use: Use, variable: Variable) -> bool:
        return variable.place.startswith(f"{use.function.ref}.<locals>.")

    # --- what rules ask ---

    def shared_in(self, module: str, least: float = 0.0) -> list[Shared]:
        """The variables of a module that threads share with a score of at least `least`."""
        signs = self.tree.modules[module].signs
        found = []
        for variable in self.tree.variables_of(module):
            if variable.kind() == "safe" or "[]" in variable.place or self.tree.lock(variable.place):
                continue
            shared = self.of(variable)
            if shared.score >= least and shared.uses and (shared.crossing or signs & {"threads", "locks"}):
                found.append(shared)
        return found

    def protected(self, function: Function, one: Held, two: Held) -> bool:
        """Whether one critical section covers two points of a function."""
        if self.calls.entry_locks[function.ref]:
            return True
        both = set(one) & set(two)
        return any(hold.lock.startswith("decorator:") or self.tree.lock(hold.lock) for hold in both)

    def applies(self, function: Function, shared: Shared, access: Access) -> bool:
        """Whether a use of a variable in a function is one that other threads can disturb."""
        variable = shared.variable
        if shared.single or shared.functional or variable.kind() == "safe" or self.tree.lock(variable.place):
            return False
        if not any(use.access is access for use in shared.uses) or self.is_async_only(function):
            return False
        if {"not_shared", "functional", "confined"} & {note.partition(":")[0] for note in function.notes}:
            return False
        if "<locals>" in variable.place and not shared.crossing:
            return False
        module = self.tree.module_of[function.ref]
        return shared.crossing or bool(module.signs & {"threads", "locks"})

    def runs_twice(self, function: Function, shared: Shared) -> bool:
        """Whether two threads may run a function at once on the same variable."""
        instance = shared.variable.owner is not None
        roles = self.threads.roles(function, instance)
        if self.threads.many(function, instance) or len(roles) > 1:
            return True
        if roles - {MAIN}:
            return False  # one thread only
        return bool(shared.guarded or shared.claims or shared.owner_locked) or not instance

    def worth(self, access: Access, many: bool = False) -> float:
        """How much it matters that a value is made twice: 1 for a lock or connection, less for a pure result."""
        kind = values.worth(access.value)
        if kind is not None:
            return kind
        made = self.tree.resolve(access.value.removeprefix("call:"))
        if made in self.tree.classes:
            return 0.7
        return 0.6 if many else 0.4

    # --- classes ---

    def is_async_only(self, function: Function) -> bool:
        """Whether a function runs in an event loop, which runs one step of it at a time."""
        if function.asynchronous:
            return True
        outer = self.tree.functions.get(function.parent)
        return outer is not None and not outer.is_body and self.is_async_only(outer)


__all__ = ["ANY_LOCK", "CONCURRENT", "Access", "Shared", "Sharing"]
