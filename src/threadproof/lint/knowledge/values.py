"""What values are worth: of which there must not be two, and of which two are as good as one."""

from __future__ import annotations

import re
from functools import cache
from typing import Final

# Two of these are a mistake: they exclude each other, hold a resource, or keep state.
UNIQUE: Final = re.compile(
    r"(Lock|Condition|Semaphore|Event|Thread|Timer|Executor|Pool|Queue|Connection|Client|Session|Socket|Process|Popen|"
    r"Server|Listener|Manager|Engine|Channel|Loop|Scheduler|Worker|Registry|Counter|count|deque|local|connect|socket|"
    r"((get|make|create|new|build|open)_)(conn|connection|client|session|channel|socket|pool|executor|thread|loop)|open|Popen|start|spawn)$|^connect|_connect|^open_|create_engine|new_event_loop|Lock\b"
)
# Two of these are as good as one: pure values.
PURE: Final = re.compile(
    r"(^|\.)(compile|format|join|str|int|float|bool|tuple|frozenset|len|sorted|lower|upper|strip|split|encode|decode|getattr|"
    r"hash|repr|import_module|__import__|getenv|get|dirname|abspath|realpath|namedtuple|property|partial|type|min|max|sum|getLogger|ContextVar|find_spec|"
    r"read|read_text|loads|load|time|monotonic|perf_counter)$"
)


@cache
def worth(value: str) -> float | None:
    """1.0 if there must be one only, 0.0 if it is pure, between for containers; None if not known."""
    if value in ("dict", "list", "set"):
        return 0.8
    if value.startswith("const") or value in ("none", "tuple", "lambda"):
        return 0.3
    if value.startswith(("call:asyncio.", "call:trio.", "call:anyio.")):
        return 0.1  # of one event loop
    if value.startswith("call:"):
        name = value[5:].removesuffix("()")
        last = name.rpartition(".")[2]
        if name in (
            "builtins.dict",
            "builtins.list",
            "builtins.set",
            "collections.OrderedDict",
            "collections.defaultdict",
        ):
            return 0.8
        if UNIQUE.search(last):
            return 1.0
        if PURE.search(name):
            return 0.1
    return None if value.startswith("call:") else 0.3
