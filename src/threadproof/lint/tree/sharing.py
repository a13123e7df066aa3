"""Which variables threads share, and how it is known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from threadproof.lint.facts.model import Access, Class, Function, Held
from threadproof.lint.knowledge import values
from threadproof.lint.knowledge.containers import ADDS, REMOVES, WRITES
from threadproof.lint.knowledge.locks import named_after
from threadproof.lint.knowledge.signs import THREAD_LOCALS, is_cache, is_shared_kind, is_thread_local
from threadproof.lint.tree.calls import ANY_LOCK, Calls
from threadproof.lint.tree.index import NO_NAMES, Tree, Use, Variable
from threadproof.lint.tree.threads import CONCURRENT, MAIN, Threads

# How sure it is that threads share a variable: by the share of its uses that are guarded, or for other
# reasons.
GUARD_SCORES = ((0.5, 0.9), (0.25, 0.7))
OWNER_LOCKED = 0.45  # its class or module uses a lock, but never for this
OWNER_BOTH = 0.5  # it has a lock, and runs methods in threads
OWNER_UNIQUE = 0.6  # it has either, and what is at stake is a thread, a lock, a connection
UNKNOWN = 0.3
COMMON = 0.45  # a global, or an attribute of the class itself, of a file that uses threads
KNOWN_TO_BE_SHARED = 0.45  # an object of a kind that exists to be shared, as a pool or a registry

# Constructors of objects: what they do to a global, or to the class itself, other threads may do too.
MAKERS = frozenset({"__init__", "__new__", "__post_init__"})


# Files of libraries whose code takes turns in one thread, or in greenlets.
LOOPS = frozenset({"loops"})
# What only objects that several threads use have: another thread sets it, or puts something into it.
WAITED_FOR = frozenset({"call:threading.Event", "call:queue.Queue", "call:queue.SimpleQueue"})
OWN_KINDS = frozenset({"plain", "reentrant", "condition"})


@dataclass(slots=True)
class Shared:
    """What is known of the sharing of one variable.

    `guarded` are the uses under each lock, and `bare` those under none, of the uses that count: not those of
    set-up, nor those before a thread's start or after its end.
    """

    variable: Variable
    uses: Sequence[Use] = ()
    guarded: dict[str, list[Use]] = field(default_factory=dict)
    bare: Sequence[Use] = ()
    crossing: frozenset[str] = NO_NAMES  # functions that use it at once, in threads that the tree starts
    many: bool = False  # used by a function that several threads run at once
    owner_threaded: bool = False  # its class starts threads on its own methods
    owner_locked: bool = False  # its class, or its module, has a lock that it uses
    claims: bool = False  # its class claims to be thread-safe
    common: bool = False  # a global, or an attribute of the class and not of its instances
    kind_is_shared: bool = False  # its class is of a kind that exists to be shared
    single: bool = False  # declared to belong to one thread, or not to be shared
    functional: bool = False
    declared_lock: str = ""
    knows: Callable[[Function, str], bool] = lambda function, lock: True

    def score(self, function: Function, unique: bool = False) -> float:
        """How sure it is that what a function does with the variable can be disturbed by another thread.

        `unique`: the value is one of which there must not be two.
        """
        if self.single:
            return 0.0
        if function.ref in self.crossing or self.declared_lock:
            return 1.0
        if self.claims:
            return 0.8
        if unique and (self.owner_locked or self.owner_threaded):
            return max(self.guard_score(function), OWNER_UNIQUE)
        return max(self.guard_score(function), self.owner_score())

    def owner_score(self) -> float:
        """The evidence of its class or module, where no use of its own says more."""
        if self.owner_locked or self.owner_threaded:
            return OWNER_BOTH if self.owner_locked and self.owner_threaded else OWNER_LOCKED
        module = self.variable.module
        if module is None or module.signs & LOOPS:
            return UNKNOWN
        if "async" in module.signs and "threads" not in module.signs:
            return UNKNOWN
        if self.common:
            return COMMON if "async" not in module.signs else UNKNOWN
        return KNOWN_TO_BE_SHARED if self.kind_is_shared else UNKNOWN

    def guard_score(self, function: Function) -> float:
        """The evidence of guarded uses, by their share of all; locks of subclasses do not count."""
        known = [
            len(uses)
            for lock, uses in self.guarded.items()
            if self.knows(function, lock) and (lock != ANY_LOCK or self.owner_locked)
        ]
        most = max(known, default=0)
        share = most / max(len(self.uses), 1)
        return next((score for least, score in GUARD_SCORES if share >= least and most), 0.0)


class Sharing:
    """Answers what threads share, one variable at a time."""

    def __init__(self, tree: Tree, calls: Calls, threads: Threads) -> None:
        self.tree = tree
        self.calls = calls
        self.threads = threads
        self.known: dict[str, Shared] = {}
        self.may_know = self.knows  # one bound method for all that is known
        self.async_classes: dict[str, bool] = {}
        self.threaded_packages = {
            module.name.partition(".")[0] for module in tree.modules.values() if "threads" in module.signs
        }
        self.global_objects = self.find_global_objects()
        self.locked_owners = self.find_locked_owners()
        self.threaded_owners = {
            entry.function.owner or entry.function.ref.rpartition(".")[0]
            for entry in threads.entries
            if entry.kind in CONCURRENT and entry.kind != "server"
        }

    def find_global_objects(self) -> set[str]:
        """The classes of which a module keeps the one object in a global: every thread finds the same."""
        found: set[str] = set()
        for variable in self.tree.variables.values():
            if variable.owner is None and "<locals>" not in variable.place and len(variable.values) <= 2:
                for value in variable.values:
                    made = self.tree.resolve(value.removeprefix("call:"))
                    if made in self.tree.classes:
                        found.update(self.tree.mro(made))
        return found

    def find_locked_owners(self) -> set[str]:
        """The classes and modules that take a thread's lock of their own outside of set-up."""
        owners: set[str] = set()
        for function in self.tree.functions.values():
            if function.asynchronous or function.ref in self.calls.setup:
                continue
            for acquire in function.acquires:
                lock = self.tree.lock(acquire.lock)
                if lock and (self.tree.lock_kind(lock) in OWN_KINDS or lock.endswith("[]")):
                    owner, _, name = lock.rpartition(".")
                    if not self.is_named_after(owner, name):
                        owners.add(owner)
        for variable in self.tree.variables.values():
            if (
                variable.owner is not None
                and variable.values & WAITED_FOR
                and any(use.function.ref not in self.calls.setup for use in variable.uses)
            ):
                owners.add(variable.owner.ref)
        return owners

    def is_named_after(self, owner: str, lock: str) -> bool:
        """Whether a lock is called after one attribute of its class, as `_uploads_lock` is."""
        guarded = named_after(lock)
        names = self.tree.declared.get(owner, ())
        return bool(guarded) and any(name.lstrip("_") == guarded for name in names)

    def of(self, variable: Variable) -> Shared:
        found = self.known.get(variable.place)
        if found is None:
            found = self.known[variable.place] = self.find(variable)
        return found

    def find(self, variable: Variable) -> Shared:
        shared = Shared(variable, knows=self.may_know, common=self.is_common(variable))
        instance = variable.owner is not None and not shared.common
        shared.kind_is_shared = self.is_of_shared_kind(variable)
        self.note_declared(shared, variable.owner)
        shared.single |= self.is_thread_local(variable)
        shared.uses = tuple([use for use in variable.uses if self.counts(use, variable)])
        bare = []
        for use in shared.uses:
            if self.is_async_only(use.function):
                continue
            locks = self.calls.locks_at(use.function, use.access.held)
            for lock in locks:
                shared.guarded.setdefault(lock, []).append(use)
            if not locks:
                bare.append(use)
        shared.bare = shared.uses if len(bare) == len(shared.uses) else tuple(bare)
        self.note_crossing(shared, instance)
        owner = variable.place.rpartition(".")[0]
        shared.owner_threaded = owner in self.threaded_owners or bool(
            variable.owner and self.threaded_owners & set(self.tree.mro(variable.owner.ref))
        )
        shared.owner_locked = owner in self.locked_owners or bool(
            variable.owner and self.locked_owners & set(self.tree.mro(variable.owner.ref))
        )
        return shared

    def is_of_shared_kind(self, variable: Variable) -> bool:
        """Whether the name of its class, or its own, says that many use it."""
        if variable.owner is None:
            return False
        has_threads = variable.module is not None and bool(variable.module.signs & {"threads", "locks"})
        by_class = is_shared_kind(variable.owner.name, has_threads)
        if by_class or (is_cache(variable.name) and evicts(variable)):
            return True
        return has_threads and variable.owner.ref in self.global_objects

    def is_thread_local(self, variable: Variable) -> bool:
        """Whether each thread has its own, by the base of the class, or by its name."""
        if variable.owner is None:
            return False
        bases = self.tree.mro(variable.owner.ref)
        return any(base in THREAD_LOCALS or is_thread_local(base) for base in bases)

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
        running = [use for use in shared.uses if self.threads.entries_at(use.function, instance)]
        if not running:
            return
        crossing: set[str] = set()
        for use in shared.uses:
            if use.access.kind not in WRITES:
                continue
            for other in running if use not in running else shared.uses:
                if self.may_meet(use.function, other.function, instance):
                    crossing |= {use.function.ref, other.function.ref}
        shared.crossing = frozenset(crossing) if crossing else NO_NAMES
        shared.many = any(self.threads.many(use.function, instance) for use in running)

    def note_crossing_local(self, shared: Shared) -> None:
        """A local variable is shared only with a function inside its own that runs in a thread."""
        inside = shared.variable.place.rpartition(".")[0] + "."
        for use in shared.uses:
            entries = [
                e for e in self.threads.entries_at(use.function, False) if e.function.ref.startswith(inside)
            ]
            writes = any(other.access.kind in WRITES for other in shared.uses)
            if entries and writes:
                many = any(entry.many for entry in entries)
                shared.many |= many
                for other in shared.uses:
                    if many or (
                        other.function is not use.function and other.function.ref not in self.threads.targets
                    ):
                        shared.crossing |= {use.function.ref, other.function.ref}

    def may_meet(self, one: Function, two: Function, instance: bool) -> bool:
        """Whether two functions may run at once; methods of two subclasses of one class have two objects."""
        if instance and one.owner != two.owner and one.owner and two.owner:
            first, second = self.tree.mro(one.owner), self.tree.mro(two.owner)
            related = one.owner in second or two.owner in first
            if not related and any(base in self.tree.classes for base in set(first) & set(second)):
                return False
        return self.threads.concurrent(one, two, instance)

    def counts(self, use: Use, variable: Variable) -> bool:
        """Whether a use can happen while other threads use the variable too."""
        function, access = use
        if function.ref in self.calls.setup and not (
            function.name in MAKERS and function.owner and self.is_common(variable)
        ):
            return False
        if self.is_outer_local(use, variable):
            return not self.threads.before_start(function, access.span.line, access.loop) and not (
                self.threads.after_join(function, access.span.line)
            )
        return not self.threads.before_start(function, access.span.line, access.loop)

    def in_setup(self, function: Function) -> bool:
        """Whether no use of any variable in a function can be disturbed, as it only sets something up."""
        return function.ref in self.calls.setup and not (function.name in MAKERS and function.owner)

    def is_common(self, variable: Variable) -> bool:
        """Whether all objects use one variable: a global, or a container that only a class's body makes.

        `self.n += 1` makes an attribute of the object from a number of the class, and a dataclass has fields.
        """
        if variable.owner is None:
            return variable.module is not None and variable.place == f"{variable.module.name}.{variable.name}"
        if self.is_of_class(variable):
            return True
        if variable.kind() == "" or any(value.endswith("field") for value in variable.values):
            return False
        writes = [use.function for use in variable.uses if use.access.kind == "write"]
        return bool(writes) and all(
            function.name == "<class>" or any(name.endswith("classmethod") for name in function.decorators)
            for function in writes
        )

    def is_of_class(self, variable: Variable) -> bool:
        """Whether code changes an attribute by the name of the class, or of a global object, and only so."""
        changes = [use for use in variable.uses if use.access.kind in WRITES and not use.function.is_body]
        return bool(changes) and all(use.access.common for use in changes)

    def is_outer_local(self, use: Use, variable: Variable) -> bool:
        return variable.place.startswith(f"{use.function.ref}.<locals>.")

    # --- what rules ask ---

    def shared_in(self, module: str) -> list[Shared]:
        """The variables of a module that threads may share."""
        signs = self.tree.modules[module].signs
        found = []
        for variable in self.tree.variables_of(module):
            if variable.kind() == "safe" or "[]" in variable.place or self.tree.lock(variable.place):
                continue
            shared = self.of(variable)
            if shared.uses and (shared.crossing or signs & {"threads", "locks"}):
                found.append(shared)
        return found

    def knows(self, function: Function, lock: str) -> bool:
        """Whether a function could take a lock: one of a global, of its own class, or of a base of it."""
        owner = lock.rpartition(".")[0]
        if owner not in self.tree.classes or not function.owner:
            return True
        return owner in self.tree.mro(function.owner)

    def guarded_outside(self, function: Function, shared: Shared) -> bool:
        """Whether the uses are under the lock of an object around this one, which this function cannot know.

        Who calls it may hold that lock too: operators and dunder methods have callers that are not seen.
        """
        locks = [lock for lock in shared.guarded if lock != ANY_LOCK]
        return bool(locks) and not any(self.knows(function, lock) for lock in locks)

    def protected(self, function: Function, one: Held, two: Held) -> bool:
        """Whether one critical section covers two points of a function."""
        if self.calls.entry_locks[function.ref]:
            return True
        both = set(one) & set(two)
        return any(hold.lock.startswith("decorator:") or self.tree.lock(hold.lock) for hold in both)

    def applies(self, function: Function, shared: Shared, access: Access, is_made: bool = False) -> bool:
        """Whether a use of a variable in a function is one that other threads can disturb.

        `is_made`: it is written, and what matters is that it is written once. So it may be a lock.
        """
        variable = shared.variable
        if shared.single or shared.functional:
            return False
        if not is_made and (variable.kind() == "safe" or self.tree.lock(variable.place)):
            return False
        if self.is_async_only(function):
            return False
        if not is_made and not any(use.access is access for use in shared.uses):
            return False
        if {"not_shared", "functional", "confined"} & {note.partition(":")[0] for note in function.notes}:
            return False
        if "<locals>" in variable.place and not shared.crossing:
            return False
        if function.owner and function.ref not in shared.crossing and self.is_async_class(function.owner):
            return False
        if self.guarded_outside(function, shared):
            return False
        module = self.tree.module_of[function.ref]
        if module.signs & LOOPS and not (function.ref in shared.crossing or shared.guarded):
            return False
        if function.ref in shared.crossing or shared.claims or module.signs & {"threads", "locks"}:
            return True
        known = shared.kind_is_shared or is_counter(shared, access) or (is_made and shared.common)
        return known and module.name.partition(".")[0] in self.threaded_packages

    def runs_twice(self, function: Function, shared: Shared) -> bool:
        """Whether two threads may run a function at once on the same variable."""
        instance = shared.variable.owner is not None and not shared.common
        roles = self.threads.roles(function, instance)
        if self.threads.many(function, instance) or len(roles) > 1:
            return True
        if roles - {MAIN}:  # one thread of the tree; others may call a public method of an object with a lock
            return bool(shared.guarded) and instance and not function.name.startswith("_")
        return (
            bool(shared.guarded or shared.claims or shared.owner_locked)
            or not instance
            or shared.kind_is_shared
        )

    def worth(self, access: Access, function: Function | None = None) -> float:
        """How much it matters if a function makes a value twice: 1 for a lock, less for a pure result."""
        kind = values.worth(access.value)
        if kind is not None:
            return kind
        made = self.tree.resolve(access.value.removeprefix("call:"))
        if made.endswith(".<super>.__call__") or (function is not None and made == function.owner):
            return 1.0  # the one object of a class, or of a key
        if made in self.tree.classes:
            return 0.7
        return 0.6 if function is not None and self.started_here(function) else 0.4

    def started_here(self, function: Function) -> bool:
        """Whether the file of a function starts several threads that run it at once."""
        home = self.tree.module_of[function.ref]
        return any(
            entry.many and entry.starter is not None and self.tree.module_of[entry.starter.ref] is home
            for entry in self.threads.reached.get(function.ref, ())
        )

    # --- classes ---

    def is_async_class(self, class_ref: str) -> bool:
        """Whether a class belongs to an event loop: it has coroutines, and takes no lock of threads."""
        known = self.async_classes.get(class_ref)
        if known is None:
            methods = [self.tree.functions[ref] for ref in self.tree.classes[class_ref].methods.values()]
            waits = any(method.asynchronous for method in methods)
            locks = any(
                not hold.asynchronous and self.tree.lock(hold.lock)
                for method in methods
                for access in method.accesses
                for hold in access.held
            )
            known = self.async_classes[class_ref] = waits and not locks
        return known

    def is_async_only(self, function: Function) -> bool:
        """Whether a function runs in an event loop, which runs one step of it at a time."""
        if function.asynchronous:
            return True
        outer = self.tree.functions.get(function.parent)
        return outer is not None and not outer.is_body and self.is_async_only(outer)


def is_counter(shared: Shared, access: Access) -> bool:
    """Whether a variable of a class counts, as its objects: in one function, whatever thread calls it.

    One that goes up and down in several functions is a depth, mostly of calls in one thread. But those of a
    dict of the class count the users of each key, as constructors and close() change them.
    """
    if not (shared.common and access.common):
        return False
    if access.kind == "augmentitem":
        return shared.variable.owner is not None
    if not (access.kind == "augment" and access.value.startswith("const")):
        return False
    changes = {use.function.ref for use in shared.uses if use.access.kind in WRITES}
    return len(changes) == 1


def evicts(variable: Variable) -> bool:
    """Whether one function adds to a container and removes from it, as a cache with a limit does."""
    adds = {use.function.ref for use in variable.uses if use.access.kind in ADDS | {"setitem"}}
    return any(use.function.ref in adds for use in variable.uses if use.access.kind in REMOVES | {"delitem"})


__all__ = ["ANY_LOCK", "CONCURRENT", "Access", "Shared", "Sharing"]
