"""Which function runs in which thread, and what is ordered by a thread's start and end."""

from __future__ import annotations

from collections import defaultdict
from typing import NamedTuple

from threadproof.lint.facts.model import Call, Function
from threadproof.lint.knowledge import threads as known
from threadproof.lint.tree.calls import Calls, is_private
from threadproof.lint.tree.index import Tree

MAIN = "main"


class Entry(NamedTuple):
    """A function that another thread runs."""

    function: Function
    kind: str  # "thread", "pool", "timer", "callback", "signal", "finalizer", "server"
    many: bool  # several threads may run it on one object at once
    starter: Function | None = None  # the function that starts it
    line: int = 0  # the line of the start
    call: Call | None = None
    place: str = ""  # the variable that holds the thread


CONCURRENT = frozenset({"thread", "pool", "timer", "callback", "server"})


class Threads:
    """The entries of a tree, and the functions each of them reaches."""

    def __init__(self, tree: Tree, calls: Calls) -> None:
        self.tree = tree
        self.calls = calls
        self.entries: list[Entry] = []
        for function in tree.functions.values():
            for call in function.calls:
                self.entries += self.started_by(function, call)
            self.entries += self.called_from_outside(function)
        self.started: defaultdict[str, list[Entry]] = defaultdict(list)  # by the function that starts them
        self.started_in_setup: set[str] = set()  # classes whose set-up starts a thread
        for entry in self.entries:
            if entry.starter is not None and entry.kind in CONCURRENT:
                self.started[entry.starter.ref].append(entry)
                if entry.starter.ref in calls.setup and entry.function.owner == entry.starter.owner:
                    self.started_in_setup.add(entry.starter.owner)
        self.targets = {entry.function.ref for entry in self.entries}
        self.confined: set[str] = set()  # methods that only the thread of their object runs
        self.reached: defaultdict[str, list[Entry]] = defaultdict(list)
        self.on_object: defaultdict[str, list[Entry]] = defaultdict(
            list
        )  # with the entry's own object as `self`
        for entry in self.entries:
            own = self.own_callbacks(entry)
            self.confined.update(one.ref for one in own)
            for ref in self.reach([entry.function.ref, *(one.ref for one in own)]):
                self.reached[ref].append(entry)
            if entry.kind == "server":
                continue  # each request has a handler of its own
            for ref in set().union(*map(self.reach_object, (entry.function, *own))):
                self.on_object[ref].append(entry)
        self.main = self.reach([ref for ref, function in tree.functions.items() if self.is_root(function)])

    # --- entries ---

    def starter(self, function: Function, call: Call) -> known.Starter | None:
        if not known.may_start(call.method) and call.keyword("target") is None:
            return None
        target = self.tree.full_target(call)
        found = known.FUNCTIONS.get(target)
        if found is not None:
            return found
        if target.endswith(("Thread.__init__", ".<super>.__init__")):
            return known.FUNCTIONS["threading.Thread"] if call.keyword("target") is not None else None
        if call.keyword("target") and target.rpartition(".")[2].endswith("Thread"):
            return known.FUNCTIONS["threading.Thread"]
        found = known.METHODS.get(call.method)
        if found is None or not (call.receiver or call.target.startswith("?")):
            return None
        if found.kind == "callback" and "async" in self.tree.module_of[function.ref].signs:
            return None  # a future of an event loop, most likely
        return found if self.is_pool(call, target) else None

    def is_pool(self, call: Call, target: str) -> bool:
        if any(name in target for name in known.PROCESS_POOLS):
            return False
        if call.method in ("submit", "apply_async", "run_in_executor", "add_done_callback", "imap_unordered"):
            return True
        if call.method in ("start_background_task", "callInThread", "deferToThread", "run_in_threadpool"):
            return True
        name = target.rpartition(".")[0].lower()
        return any(word in name for word in known.POOL_NAMES)

    def started_by(self, function: Function, call: Call) -> list[Entry]:
        found = self.starter(function, call)
        if found is None:
            return []
        target = call.keyword(found.keyword) if found.keyword else None
        if target is None and len(call.args) > found.position:
            target = call.args[found.position]
        target = target or ""
        functions = [one for one in self.calls.function_named(target) if not one.asynchronous]
        line = self.start_line(function, call)
        several = bool(call.loop) or (
            call.keyword("args") is not None and not target.startswith(function.owner or "?")
        )
        many = found.many or several
        return [Entry(one, found.kind, many, function, line, call, call.into) for one in functions]

    def start_line(self, function: Function, call: Call) -> int:
        """The line where a thread made here is started, or where it is made if that is elsewhere."""
        if not call.into:
            return call.span.line
        starts = [c.span.line for c in function.calls if c.method == "start" and c.receiver == call.into]
        return max([line for line in starts if line >= call.span.line], default=call.span.line)

    def called_from_outside(self, function: Function) -> list[Entry]:
        """Methods that a library calls in its own threads: `run` of a Thread, `do_GET` of a handler."""
        if function.name == "__del__":
            return [Entry(function, "finalizer", many=False)]
        if function.owner:
            names = {name.rpartition(".")[2]: name for name in self.tree.mro(function.owner)[1:]}
            if function.name == "run" and self.is_thread_class(function.owner):
                return [Entry(function, "thread", many=False)]
            for base, prefixes in known.HANDLER_BASES.items():
                if base in names and function.name.startswith(prefixes):
                    return [Entry(function, "server", many=True)]
        module = self.tree.module_of[function.ref]
        for decorator in function.decorators:
            receiver, _, name = decorator.rpartition(".")
            is_web = any(
                word in receiver.lower() for word in ("app", "flask", "blueprint", "router", "bp", "api")
            )
            if name in known.ROUTES and is_web and not function.asynchronous and "web" in module.signs:
                return [Entry(function, "server", many=True)]
        return []

    def is_thread_class(self, class_ref: str) -> bool:
        return any(base in known.THREAD_CLASSES for base in self.tree.mro(class_ref))

    # --- reach ---

    def reach(self, roots: list[str]) -> set[str]:
        """The functions that run when the roots do; a function given to a thread is not among them."""
        seen = set(roots)
        stack = list(roots)
        while stack:
            for _, callee in self.calls.callees.get(stack.pop(), ()):
                if callee.ref not in seen:
                    seen.add(callee.ref)
                    stack.append(callee.ref)
        return seen

    def reach_object(self, start: Function) -> set[str]:
        """The methods that run on the object of the start, or on one that hangs on it or on the module.

        What a thread makes for itself, or is given for one call, is not known to be shared.
        """
        seen = {start.ref}
        stack = [start]
        while stack:
            function = stack.pop()
            for call, callee in self.calls.callees.get(function.ref, ()):
                if callee.ref not in seen and self.keeps_object(function, call, callee):
                    seen.add(callee.ref)
                    stack.append(callee)
        return seen

    def keeps_object(self, function: Function, call: Call, callee: Function) -> bool:
        if not callee.owner:
            return True
        if callee.name == "__init__":
            return "<super>" in call.target  # a constructor's object is new
        if not call.receiver:
            return callee.owner == function.owner  # a property of the same object
        return "<locals>" not in call.receiver and "()" not in call.receiver and "[]" not in call.receiver

    def own_callbacks(self, entry: Entry) -> list[Function]:
        """The private methods that a class of threads keeps in a table of its own, for `run` to call."""
        if entry.starter is not None or not self.is_thread_class(entry.function.owner):
            return []
        names = self.tree.classes[entry.function.owner].methods.values()
        return [
            one
            for one in map(self.tree.functions.__getitem__, names)
            if one.ref in self.calls.escaped - self.calls.given_away - self.targets and is_private(one)
        ]

    def is_root(self, function: Function) -> bool:
        """Whether code outside the tree, or the main thread, may call a function itself."""
        if function.ref in self.targets or function.ref in self.confined:
            return False
        return not self.calls.callers.get(function.ref) or function.ref in self.calls.escaped

    def entries_at(self, function: Function, instance: bool) -> list[Entry]:
        """The entries that reach a function, or, for an attribute, those that share the instance."""
        reached = (self.on_object if instance else self.reached).get(function.ref, [])
        return [entry for entry in reached if entry.kind in CONCURRENT]

    def roles(self, function: Function, instance: bool) -> set[str]:
        """The threads that may run a function: MAIN, and the references of entries."""
        names = {entry.function.ref for entry in self.entries_at(function, instance)}
        if function.ref in self.main:
            names.add(MAIN)
        return names

    def many(self, function: Function, instance: bool) -> bool:
        """Whether several threads may run a function at once; a Thread subclass has one for each instance."""
        return any(
            not instance if entry.starter is None else entry.many
            for entry in self.entries_at(function, instance)
        )

    def concurrent(self, one: Function, two: Function, instance: bool) -> bool:
        """Whether two functions may run at once, in threads that the tree starts."""
        first, second = self.roles(one, instance), self.roles(two, instance)
        if not (first - {MAIN} or second - {MAIN}):
            return False
        if len(first | second) > 1:
            return True
        return self.many(one, instance) or self.many(two, instance)

    def in_one_thread(self, one: Function, two: Function, instance: bool) -> bool:
        """Whether one thread, that the tree starts, runs two functions, and no other does."""
        roles = self.roles(one, instance) | self.roles(two, instance)
        return len(roles) == 1 and MAIN not in roles and not self.concurrent(one, two, instance)

    # --- order ---

    def before_start(self, function: Function, line: int, loop: int) -> bool:
        """Whether a line of a function runs before the first thread, which this function starts."""
        starts = [
            entry.line
            for entry in self.started.get(function.ref, ())
            if not self.is_conditional(function, entry)  # an earlier call may have started it
        ]
        if not starts or loop or self.set_up_starts(function):
            return False
        return line < min(starts) and not self.started_before(function, line)

    def set_up_starts(self, function: Function) -> bool:
        """Whether the object of a method has a thread since it was made, so that this is not the first."""
        return bool(function.owner) and function.owner in self.started_in_setup

    def started_before(self, function: Function, line: int) -> bool:
        return any(call.method == "start" and call.span.line < line for call in function.calls)

    def after_join(self, function: Function, line: int) -> bool:
        """Whether a line of a function runs after it has waited for a thread to end."""
        return any(
            call.method == "join" and not call.args and not call.keywords and call.span.line < line
            for call in function.calls
        )

    def is_conditional(self, function: Function, entry: Entry) -> bool:
        """Whether a function starts its thread only if a test says so."""
        starts = [c for c in function.calls if c.method == "start" and c.span.line == entry.line]
        return any(call.tested for call in starts)
