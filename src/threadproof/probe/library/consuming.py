"""What goes over the containers that it is given: rows of consumers.py, and how they are installed.

A function is intercepted, whichever way it is called. A call of a type, or of a builtin for which CPython has
instructions of its own, is a site (probe/instrument.py), and compared with what is installed here. Methods of
C types are in probe/interceptors.py, with what else they do.
"""

from __future__ import annotations

import sys
from types import BuiltinFunctionType, FunctionType
from typing import Any, NamedTuple

from threadproof import _core
from threadproof.consumers import CONSUMERS, Consumer


class Consuming(NamedTuple):
    """A row, to be installed once its module has been imported."""

    row: Consumer

    @property
    def module(self) -> str:
        return self.row.module

    def install(self) -> None:
        """Record what these go over, for good."""
        if self.module == "builtins":
            _core.probe.add_reader(len, True, 0, 0)
        _, _, of_type = self.row.owner.partition(":")
        owner: Any = sys.modules[self.module]
        for name in self.row.names.split():
            if not of_type:
                self.put(owner, name, getattr(owner, name), self.row.first)
            elif isinstance(method := getattr(getattr(owner, of_type), name), FunctionType):
                self.put(owner, name, method, self.row.first + 1)

    def put(self, owner: Any, name: str, callable_: Any, first: int) -> None:
        one_step = int(self.row.one_step)
        if isinstance(callable_, FunctionType):
            _core.probe.intercept_consumer(callable_, one_step, first)
        elif isinstance(callable_, BuiltinFunctionType) and self.module != "builtins":
            _core.probe.intercept_method(owner, name, "consume", one_step, first)
        elif isinstance(callable_, type | BuiltinFunctionType):
            _core.probe.add_reader(callable_, False, one_step, first)


ROWS = tuple(map(Consuming, CONSUMERS))
