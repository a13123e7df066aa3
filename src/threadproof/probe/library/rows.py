"""What a row of probe/library says of a function, and how rows are installed.

While an intercepted function runs, the locks that it acquires are internal: they are not what the program
said. Otherwise the mutex of a queue, say, would order all threads that ever used the queue, and hide their
races. What the class promises stands in the row instead.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from threadproof import _core


class Step(NamedTuple):
    """Publish or observe the first argument, or an attribute of it, under a condition."""

    order: Literal["publish", "observe"]
    attribute: str | None = None
    condition: Callable[[Any], bool] | Literal[True] | None = None  # of the first argument; True: the result


PUBLISH, OBSERVE = Step("publish"), Step("observe")
OBSERVE_IF_TRUE = Step("observe", condition=True)


@dataclass(frozen=True)
class Row:
    """Some functions of one owner: "module" or "module:Class"; names are separated by blanks.

    `before` and `after` the call these steps are taken; `after` also where it raises, if `always`. Where
    steps cannot say it, a generator function of the same parameters publishes: it yields once, where the
    function runs, and gets its result or its exception there.
    """

    owner: str
    names: str
    before: tuple[Step, ...] = ()
    after: tuple[Step, ...] = ()
    always: bool = False
    internal: bool = True
    generator: Callable[..., Generator[None, Any]] | None = None

    @property
    def module(self) -> str:
        return self.owner.partition(":")[0]

    def install(self) -> None:
        """Intercept the functions, for good. The module has been imported."""
        owner: Any = sys.modules[self.module]
        for part in filter(None, self.owner.partition(":")[2].split(".")):
            owner = getattr(owner, part)
        for name in self.names.split():
            _core.probe.intercept_function(
                getattr(owner, name), self.before, self.after, self.always, self.internal, self.generator
            )
