"""The rows of probe/library, each about some functions of one owner, and their installation.

While an intercepted function runs, the locks that it acquires are internal: the program did not acquire
them. Otherwise the mutex of a queue, for example, would order all threads that ever used the queue, and hide
their races. The row has the order that the class promises instead.
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

    The steps are executed `before` and `after` the call; `after` also if it raises, if `always`. If
    steps are not enough, a generator function of the same parameters publishes: it yields once, where the
    function runs, and gets its result or its exception there. `state`: the function reads or writes the
    state of its first argument at once, and no lock shows that.
    """

    owner: str
    names: str
    before: tuple[Step, ...] = ()
    after: tuple[Step, ...] = ()
    always: bool = False
    internal: bool = True
    generator: Callable[..., Generator[None, Any]] | None = None
    state: Literal["", "read", "write"] = ""

    @property
    def module(self) -> str:
        return self.owner.partition(":")[0]

    def install(self) -> None:
        """Intercept the functions permanently. The module has been imported."""
        owner: Any = sys.modules[self.module]
        for part in filter(None, self.owner.partition(":")[2].split(".")):
            owner = getattr(owner, part)
        for name in self.names.split():
            _core.probe.intercept_function(
                getattr(owner, name),
                self.before,
                self.after,
                self.always,
                self.internal,
                self.generator,
                self.state,
            )
