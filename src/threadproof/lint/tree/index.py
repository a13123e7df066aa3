"""All files together: names resolved across them, classes with their bases, and every use of each place."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, TypeVar

from threadproof.lint.facts.model import Access, Call, Class, Function, Held, Module
from threadproof.lint.knowledge import containers, locks

# Longer chains of imports or bases than any real program has: they are cycles.
DEEPEST = 20


T = TypeVar("T")
# One object for all that is empty, as most sets are: an empty set of its own takes 216 bytes.
NO_NAMES: Final[frozenset[str]] = frozenset()


class Use(NamedTuple):
    """An access, and the function it is in."""

    function: Function
    access: Access


@dataclass(slots=True)
class Variable:
    """A place with everything that is done to it in the tree."""

    place: str
    uses: list[Use] = field(default_factory=list)
    values: frozenset[str] = NO_NAMES
    owner: Class | None = None  # the class whose attribute it is
    module: Module | None = None
    known_kind: str | None = None

    @property
    def name(self) -> str:
        return self.place.rpartition(".")[2]

    @property
    def shown(self) -> str:
        """The name as people write it: `self.items`, or the global's own."""
        return f"self.{self.name}" if self.owner else self.name

    def kind(self) -> str:
        """The kind of container in it, if all that is known of it agrees: "dict", "set"… or "".

        To be asked for once all uses are known.
        """
        if self.known_kind is None:
            kinds = {containers.kind_of(value) for value in self.values} - {""}
            self.known_kind = kinds.pop() if len(kinds) == 1 else ""
            if not kinds and not self.known_kind:
                accesses = [use.access for use in self.uses]
                told = {access.kind for access in accesses}
                told |= {access.value for access in accesses if access.kind == "iterate"}
                self.known_kind = containers.kind_by_use(told)
        return self.known_kind


class Tree:
    """The facts of all files that are linted together."""

    def __init__(self, modules: Iterable[Module]) -> None:
        self.modules = {module.name: module for module in modules}
        self.functions: dict[str, Function] = {}
        self.classes: dict[str, Class] = {}
        self.module_of: dict[str, Module] = {}  # function reference -> its module
        for module in self.modules.values():
            self.functions.update(module.functions)
            self.classes.update(module.classes)
            self.module_of.update(dict.fromkeys(module.functions, module))
        self.modules_of: dict[str, tuple[Module | None, int]] = {}  # see longest()
        self.classes_of_names: dict[str, tuple[Class | None, int]] = {}
        self.tops = {name.partition(".")[0] for name in self.modules}
        self.canonical_names: dict[str, str] = {}
        self.resolved: dict[str, str] = {}
        self.known_calls: dict[str, Sequence[Function]] = {}
        self.subclasses: defaultdict[str, list[str]] = defaultdict(list)
        self.mros: dict[str, list[str]] = {}
        for ref, found in self.classes.items():
            for base in found.bases:
                self.subclasses[self.resolve(base)].append(ref)
        self.given: dict[str, set[str]] = {}
        self.known_args: dict[str, str] = {}
        self.sets: dict[frozenset[str], frozenset[str]] = {}  # see one_set()
        self.unsure: deque[tuple[dict[str, Any], str]] = deque()  # cached while not all types were known
        self.declared = self.declare()
        self.wraps = {place: lock for module in self.modules.values() for place, lock in module.wraps.items()}
        for constructors in (True, False):  # methods are found by the types that constructors are given
            self.given = find_given(self, constructors)
            self.forget_unsure()
        self.unsure = deque(maxlen=0)  # all types are known now, and nothing needs to be remembered
        self.variables: dict[str, Variable] = {}
        for function in self.functions.values():
            self.add_uses(function)
        for variable in self.variables.values():
            written = [use.access.value for use in variable.uses if use.access.kind == "write"]
            if written:
                variable.values = self.one_set([*variable.values, *written])

    def forget_unsure(self) -> None:
        """Drop what was not found in caches, as more types are known now."""
        for cache, name in self.unsure:
            cache.pop(name, None)
        self.unsure.clear()

    # --- names ---

    def resolve(self, name: str) -> str:
        """The name under which a reference is defined, through imports of imports."""
        known = self.resolved.get(name)
        if known is None:
            known = self.resolved[name] = self.find_resolved(name)
        return known

    def is_foreign(self, name: str) -> bool:
        """Whether a name surely is of no file of the tree: of the standard library, say."""
        return name.partition(".")[0] not in self.tops

    def find_resolved(self, name: str) -> str:
        if self.is_foreign(name):
            return name
        for _ in range(DEEPEST):
            module, rest = self.split(name)
            if module is None or not rest:
                return name
            first, _, more = rest.partition(".")
            meaning = module.imports.get(first)
            if meaning is None or meaning == name:
                return name
            name = f"{meaning}.{more}" if more else meaning
        return name

    def split(self, name: str) -> tuple[Module | None, str]:
        """The module that a reference starts with, and the rest."""
        return longest(self.modules, name, self.modules_of)

    def class_in(self, name: str) -> tuple[Class | None, str]:
        """The class that a reference starts with, and the rest: the attribute."""
        return longest(self.classes, name, self.classes_of_names)

    def mro(self, ref: str) -> list[str]:
        """The class and its bases, nearest first; bases that are not in the tree by their names."""
        if ref not in self.mros:
            self.mros[ref] = [ref]  # a cycle of bases ends here
            found = self.classes.get(ref)
            order = [ref]
            for base in found.bases if found else ():
                order += [name for name in self.mro(self.resolve(base)) if name not in order]
            self.mros[ref] = order
        return self.mros[ref]

    def declare(self) -> dict[str, set[str]]:
        """The attributes that each class gives a value."""
        declared: dict[str, set[str]] = {ref: set(found.annotations) for ref, found in self.classes.items()}
        for function in self.functions.values():
            for access in function.accesses:
                if access.kind in ("write", "augment"):
                    owner, _, name = access.place.rpartition(".")
                    if owner in declared:
                        declared[owner].add(name)
        return declared

    def canonical(self, name: str) -> str:
        """One name for one variable: of the base class that declares it, or of the attribute's type."""
        known = self.canonical_names.get(name)
        if known is None:
            unsure = len(self.unsure)
            known = self.canonical_names[name] = self.find_canonical(name)
            if len(self.unsure) > unsure:
                self.unsure.append((self.canonical_names, name))
        return known

    def find_canonical(self, name: str) -> str:
        name = self.resolve(name)
        if self.is_foreign(name):
            return name
        if name.endswith("[]"):
            return self.canonical(name[:-2]) + "[]"
        found, rest = self.class_in(name)
        if found is None:
            return self.in_global(name)
        if not rest:
            return name
        attribute, _, more = rest.partition(".")
        index = "[]" if attribute.endswith("[]") else ""
        bare = attribute.removesuffix("[]")
        declared = self.declared
        bases = reversed(self.mro(found.ref))
        owner = next((base for base in bases if base in declared and bare in declared[base]), found.ref)
        if not more:
            return f"{owner}.{bare}{index}"
        type_ = "" if index else self.type_of(f"{owner}.{bare}")
        if type_ in self.classes and type_ != found.ref:
            return self.canonical(f"{type_}.{more}")
        self.unsure.append((self.canonical_names, name))
        return f"{owner}.{attribute}.{more}"

    def in_global(self, name: str) -> str:
        """The variable that an attribute of an object in a global is."""
        module, rest = self.split(name)
        first, _, more = rest.partition(".")
        if module is None or not more or first not in module.variables:
            return name
        type_ = self.type_of(f"{module.name}.{first}")
        if type_ in self.classes:
            return self.canonical(f"{type_}.{more}")
        self.unsure.append((self.canonical_names, name))
        return name

    def type_of(self, place: str) -> str:
        """The class that the values of an attribute are of, where all that is known agrees; else ""."""
        owner, _, name = place.rpartition(".")
        found = self.classes.get(owner)
        if found and name in found.annotations:
            return self.resolve(found.annotations[name])
        types: set[str] = set()
        for value in self.written.get(place, ()):
            kind, _, what = value.partition(":")
            if kind == "call":
                types.add(self.resolve(what))
            elif kind == "ref":
                if what in self.classes:  # an argument that is annotated with it
                    types.add(what)
                types |= {one for one in self.given.get(what, ()) if one in self.classes}
        return types.pop() if len(types) == 1 else ""

    def functions_in(self, place: str) -> list[Function]:
        """The functions that are known to be given to a parameter, or through one to an attribute."""
        values = {value[4:] for value in self.written.get(place, ()) if value.startswith("ref:")}
        given = [one for name in (place, *values) for one in self.given.get(name, ())]
        return [self.functions[one] for one in given if one in self.functions]

    @property
    def written(self) -> dict[str, frozenset[str]]:
        """The values written to each place, under the name it is written by."""
        if not hasattr(self, "_written"):
            values: defaultdict[str, list[str]] = defaultdict(list)
            for function in self.functions.values():
                for access in function.accesses:
                    if access.kind == "write":
                        values[access.place].append(access.value)
            self._written = {place: self.one_set(found) for place, found in values.items()}
        return self._written

    def one_set(self, values: Iterable[str]) -> frozenset[str]:
        """The set of some values; equal sets are one object."""
        found = frozenset(values)
        return self.sets.setdefault(found, found)

    # --- uses ---

    def add_uses(self, function: Function) -> None:
        for access in function.accesses:
            variable = self.variable(access.place)
            variable.uses.append(Use(function, access))

    def variable(self, place: str) -> Variable:
        """The variable of a place, under whatever name."""
        name = self.canonical(place)
        found = self.variables.get(name)
        if found is None:
            found = self.variables[name] = Variable(name)
            owner, _, attribute = name.rpartition(".")
            found.owner = self.classes.get(owner)
            found.module = self.split(name)[0]
            if found.owner and attribute in found.owner.annotations:
                found.values = self.one_set(["call:" + found.owner.annotations[attribute]])
        return found

    def variables_of(self, module: str) -> list[Variable]:
        """The variables of one module."""
        if not hasattr(self, "_by_module"):
            self._by_module: dict[str, list[Variable]] = defaultdict(list)
            for variable in self.variables.values():
                self._by_module[variable.module.name if variable.module else ""].append(variable)
        return self._by_module.get(module, [])

    def places_under(self, place: str) -> list[str]:
        """The places that are attributes of one, or in it."""
        if not hasattr(self, "_under"):
            self._under: dict[str, list[str]] = defaultdict(list)
            for name in self.variables:
                self._under[name.rpartition(".")[0]].append(name)
        return self._under.get(place, [])

    def classes_of(self, module: str) -> list[Class]:
        found = self.modules.get(module)
        return list(found.classes.values()) if found else []

    def shown(self, place: str) -> str:
        """A place as people write it: `self._lock`, or a global's name."""
        place = place.removeprefix("decorator:")
        owner, _, name = place.rpartition(".")
        return f"self.{name}" if owner in self.classes else name

    # --- functions ---

    def what_is(self, name: str) -> str:
        """The class of an argument, or the function that it is; "" if that is not known."""
        known = self.known_args.get(name)
        if known is None:
            known = self.known_args[name] = self.find_what_is(self.resolve(name.removesuffix("()")))
        return known

    def find_what_is(self, name: str) -> str:
        if self.is_foreign(name):
            return ""
        if name in self.classes or name in self.functions:
            return name
        owner, _, last = name.rpartition(".")
        if owner in self.classes:
            method = self.method(owner, last)
            return method.ref if method is not None else self.type_of(name)
        return ""

    def method(self, class_ref: str, name: str) -> Function | None:
        """The method that an instance of a class has under a name."""
        for base in self.mro(class_ref):
            found = self.classes.get(base)
            if found and name in found.methods:
                return self.functions[found.methods[name]]
        return None

    def called(self, target: str) -> Sequence[Function]:
        """The functions that a call of this target may run; a method's overrides are among them."""
        known = self.known_calls.get(target)
        if known is None:
            known = self.known_calls[target] = self.find_called(target)
        return known

    def find_called(self, target: str) -> Sequence[Function]:
        found = tuple(self.find_functions(target))
        if not found and not self.is_foreign(target):
            self.unsure.append((self.known_calls, target))
        return found

    def find_functions(self, target: str) -> list[Function]:
        name = self.resolve(target)
        if self.is_foreign(name):
            return []
        known = self.functions.get(name)
        if known is not None:
            return [known, *self.overrides(known)] if known.owner else [known]
        if name in self.classes:
            constructor = self.method(name, "__init__")
            return [constructor] if constructor else []
        made, call, rest = name.partition("().")
        if call:
            name = f"{self.resolve(made)}.{rest}"
        owner, found, rest = name.partition(".<super>.")
        if found:
            for base in self.mro(owner)[1:]:
                method = self.method(base, rest)
                if method:
                    return [method]
            return []
        owner, _, method_name = self.canonical(name).rpartition(".")
        if owner.endswith("()"):
            owner = self.resolve(owner[:-2])
        if owner not in self.classes:
            owner = self.type_of(owner)
        if owner not in self.classes:
            return self.functions_in(name) if self.given else []
        methods = [self.method(ref, method_name) for ref in (owner, *self.descendants(owner))]
        own = list({method.ref: method for method in methods if method}.values())
        return own or (self.functions_in(f"{owner}.{method_name}") if self.given else [])

    def overrides(self, function: Function) -> list[Function]:
        """The methods of subclasses that a call of a method may run in its place."""
        if function.name.startswith("__") or not self.subclasses.get(function.owner):
            return []
        found = [self.method(ref, function.name) for ref in self.descendants(function.owner)]
        return list({method.ref: method for method in found if method and method is not function}.values())

    def descendants(self, class_ref: str) -> Iterator[str]:
        seen = {class_ref}
        stack = list(self.subclasses.get(class_ref, ()))
        while stack:
            ref = stack.pop()
            if ref not in seen:
                seen.add(ref)
                yield ref
                stack.extend(self.subclasses.get(ref, ()))

    def full_target(self, call: Call) -> str:
        """The target of a call, with its receiver's type: `socket.socket.recv` for `self.sock.recv`."""
        target = self.resolve(call.target)
        if call.receiver:
            receiver = self.resolve(call.receiver)
            if receiver.endswith("()"):
                return f"{receiver[:-2]}.{call.method}"
            type_ = self.type_of(self.canonical(receiver))
            if type_:
                return f"{type_}.{call.method}"
        return target

    # --- locks ---

    def lock(self, ref: str) -> str:
        """The lock that a reference names, a Condition being its lock's; "" if it is not one."""
        if ref.startswith("decorator:"):
            return ref
        name = self.canonical(ref)
        if name in self.classes:
            return next((base for base in reversed(self.mro(name)) if self.lock_kind(base)), "")
        for _ in range(DEEPEST):
            if name not in self.wraps:
                break
            name = self.canonical(self.wraps[name])
        return name if self.lock_kind(name) else ""

    def lock_kind(self, name: str) -> str:
        """Plain, reentrant, condition, semaphore, process, async or unknown; "" for no lock."""
        if name in self.classes:
            return (
                "unknown"
                if "acquire" in self.classes[name].methods
                and self.method(name, "acquire")
                and self.method(name, "release")
                else ""
            )
        if name.endswith("()") and self.is_no_lock(name[:-2]):
            return ""
        base = name.removesuffix("[]")
        kinds = {locks.kind_of(value) for value in self.values_of(base)}
        kinds.discard("")
        if kinds:
            return kinds.pop() if len(kinds) == 1 else "unknown"
        if base == name and any(containers.kind_of(value) for value in self.values_of(base)):
            return ""  # a container of locks
        return "unknown" if locks.named_like_lock(name) else ""

    def is_no_lock(self, name: str) -> bool:
        """Whether functions of the tree, that are called like a lock, take and return none of threads.

        `with self.lock_read():` locks a file, a row or a device, and not out other threads.
        """
        found = [one for one in self.called(name) if one.name != "__init__"]
        return bool(found) and not any(
            one.acquires
            or one.asynchronous
            or any(map(locks.named_like_lock, one.returned))
            or any(call.method == "acquire" or self.makes_lock(call) for call in one.calls)
            for one in found
        )

    def makes_lock(self, call: Call) -> bool:
        kind = locks.kind_of("call:" + self.resolve(call.target))
        return bool(kind) and (kind != "unknown" or self.is_foreign(call.target))

    def values_of(self, name: str) -> frozenset[str]:
        variable = self.variables.get(name) if hasattr(self, "variables") else None
        if variable is not None and variable.values:
            return variable.values
        return self.written.get(name, NO_NAMES)

    def locks(self, held: Held) -> set[str]:
        """The locks among what is held."""
        return {lock for hold in held if (lock := self.lock(hold.lock))}


# More different things given to one parameter than this say that it is anything.
SEVERAL = 3


def find_given(tree: Tree, constructors: bool) -> dict[str, set[str]]:
    """What calls in the tree give to each parameter: classes, for their instances, and functions."""
    given: defaultdict[str, set[str]] = defaultdict(set)
    tree.known_args.clear()
    for function in tree.functions.values():
        for call in function.calls:
            if not call.args and not call.keywords:
                continue
            if constructors and tree.resolve(call.target) not in tree.classes:
                continue
            words = dict(call.keywords)
            if not any(map(tree.what_is, (*call.args, *words.values()))):
                continue
            for callee in tree.called(call.target):
                names = callee.params[1:] if callee.owner else callee.params
                for name, value in (*zip(names, call.args, strict=False), *words.items()):
                    what = tree.what_is(value)
                    if what and name in names:
                        given[f"{callee.ref}.<locals>.{name}"].add(what)
    return {name: values for name, values in given.items() if len(values) <= SEVERAL}


def longest(
    known: Mapping[str, T], name: str, found_before: dict[str, tuple[T | None, int]]
) -> tuple[T | None, str]:
    """What the longest beginning of a dotted name stands for, and the rest; without one, the whole name.

    `found_before` remembers the answers, with the length of each beginning, for all names in one place.
    """
    found = known.get(name)
    if found is not None:
        return found, ""
    place = name[: max(name.rfind("."), 0)]
    answer = found_before.get(place)
    if answer is None:
        answer = found_before[place] = longest_in(known, place)
    found, length = answer
    return (found, name[length + 1 :]) if found is not None else (None, name)


def longest_in(known: Mapping[str, T], name: str) -> tuple[T | None, int]:
    """What the longest beginning of a name stands for, and how long that is."""
    end = len(name)
    while end > 0:
        found = known.get(name[:end])
        if found is not None:
            return found, end
        end = name.rfind(".", 0, end)
    return None, 0
