"""What is known of a file: the facts that the rules read.

One walk over a file's syntax tree makes a Module: its classes, its functions, and for each function the
accesses, calls and locks in the order of the program. Facts hold no syntax tree, so that they can be pickled,
cached and joined with those of other files.

A *reference* is a dotted name: `pkg.mod.Cls.attr` for an attribute of an instance or of the class (the two
are not told apart), `pkg.mod.name` for a global, `pkg.mod.func.<locals>.name` for a local variable,
`pkg.mod.Cls.attr[]` for anything in a container, and `threading.Lock` for a name that the file imports. A
*place* is a reference to a variable.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from operator import attrgetter
from typing import NamedTuple, TypeVar

T = TypeVar("T")


class Span(NamedTuple):
    """A piece of source: lines count from 1, columns from 0 and in bytes of UTF-8, as in `ast`."""

    line: int
    column: int
    end_line: int
    end_column: int


class Hold(NamedTuple):
    """A lock that is held; `section` is the number of the critical section in its function."""

    lock: str
    section: int
    asynchronous: bool = False


Held = tuple[Hold, ...]
RETURNED = "returned"  # the `value` of an access whose object or view is what the function returns


def in_field_order(cls: type[T]) -> type[T]:
    """Have a dataclass pickled as its fields in their order: half the time that their names would take."""
    values = attrgetter(*(each.name for each in fields(cls)))  # type: ignore[arg-type]

    def reduce(self: T) -> tuple[type[T], tuple[object, ...]]:
        return cls, values(self)

    cls.__reduce__ = reduce  # type: ignore[method-assign, assignment]
    return cls


@in_field_order
@dataclass(slots=True)
class Access:
    """One use of a place.

    `kind` is "read", "write", "augment" (read and written in one statement) or "delete" for the variable
    itself;
    for the container in it: "contains", "getitem", "setitem", "delitem", "augmentitem", "iterate", "len",
    "truth", or the name of the method called. `key` is the source of the key. `value` describes a value
    written.
    """

    place: str
    kind: str
    span: Span
    held: Held
    key: str = ""
    value: str = ""
    caught: tuple[str, ...] = ()
    loop: int = 0
    alias: str = ""  # the local variable it went through, if it did
    common: bool = False  # it was found through a global name, such as the class's own


@dataclass(slots=True)
class Pair:
    """A check and the act that depends on it. `how` names the form of the check.

    `present` is what the check found: the key or value was there (True), was not (False), or either (None).
    """

    check: Access
    act: Access
    how: str
    present: bool | None


@in_field_order
@dataclass(slots=True)
class Call:
    """One call. `target` is what is called, `receiver` the place whose method it is, "" if it has none."""

    target: str
    receiver: str
    span: Span
    held: Held
    args: Sequence[str] = ()
    keywords: Sequence[tuple[str, str]] = ()
    discarded: bool = False  # the call is a statement of its own
    awaited: bool = False
    caught: tuple[str, ...] = ()
    loop: int = 0
    tested: bool = False  # it depends on a test of a shared place
    missing: Access | None = None  # it depends on a test that an attribute of its receiver is not set
    into: str = ""  # the place its result is assigned to

    @property
    def method(self) -> str:
        return self.target.rpartition(".")[2]

    def keyword(self, name: str) -> str | None:
        """The reference given for a keyword, "" for any other expression, None if it is not given."""
        return next((value for given, value in self.keywords if given == name), None)


@dataclass(slots=True)
class Acquire:
    """A lock taken, with the locks held before."""

    lock: str
    span: Span
    held: Held
    blocking: bool = True
    by_call: bool = False  # by acquire(), and not by `with`


class Leak(NamedTuple):
    """A lock taken at `span` that is still held where the function is left; `how` as in leaks.py."""

    lock: str
    span: Span
    exit: Span
    how: str


@dataclass(slots=True)
class Function:
    """A function, method or lambda, or the body `<module>` or `<class>`."""

    ref: str
    name: str
    span: Span
    owner: str = ""  # the class whose method it is
    parent: str = ""  # the function it stands in
    params: Sequence[str] = ()
    decorators: Sequence[str] = ()
    notes: frozenset[str] = frozenset()  # what its comments and docstring declare; see notes.py
    asynchronous: bool = False
    generator: bool = False
    raises: bool = False  # it has a `raise` of its own, outside of any `try`
    returns_value: bool = False
    accesses: list[Access] = field(default_factory=list)
    pairs: list[Pair] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    acquires: list[Acquire] = field(default_factory=list)
    leaks: list[Leak] = field(default_factory=list)
    awaits: list[tuple[Span, Held]] = field(
        default_factory=list
    )  # where it waits in an event loop with a lock held
    returned: list[str] = field(default_factory=list)  # references it returns

    @property
    def is_body(self) -> bool:
        return self.name in ("<module>", "<class>")


@dataclass(slots=True)
class Class:
    """A class statement."""

    ref: str
    name: str
    span: Span
    bases: Sequence[str]
    methods: dict[str, str]  # name -> reference of the Function
    decorators: Sequence[str] = ()
    notes: frozenset[str] = frozenset()
    annotations: dict[str, str] = field(default_factory=dict)  # attribute -> reference of its type
    guards: dict[str, str] = field(default_factory=dict)  # attribute -> the lock it is declared to have


@dataclass(slots=True)
class Module:
    """A file."""

    name: str
    path: str
    imports: dict[str, str]  # local name -> what it stands for
    signs: frozenset[str]  # what in it suggests threads; see knowledge/signs.py
    functions: dict[str, Function] = field(default_factory=dict)
    classes: dict[str, Class] = field(default_factory=dict)
    variables: set[str] = field(
        default_factory=set
    )  # global names that are not functions, classes or imports
    wraps: dict[str, str] = field(default_factory=dict)  # a Condition's place -> its lock's
    notes: frozenset[str] = frozenset()
    lines: int = 0
