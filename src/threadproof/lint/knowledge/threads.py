"""How code comes to run in another thread: calls that take a function, and methods of base classes."""

from __future__ import annotations

from typing import Final, NamedTuple


class Starter(NamedTuple):
    """A call that hands a function to another thread.

    `position` and `keyword` say which argument the function is. `many`: several threads may run it at once.
    """

    kind: str
    position: int
    keyword: str
    many: bool


# By full name of what is called.
FUNCTIONS: Final = {
    "threading.Thread": Starter("thread", 1, "target", many=False),
    "threading.Timer": Starter("timer", 1, "function", many=False),
    "threading._start_new_thread": Starter("thread", 0, "function", many=False),
    "_thread.start_new_thread": Starter("thread", 0, "function", many=False),
    "thread.start_new_thread": Starter("thread", 0, "function", many=False),
    "asyncio.to_thread": Starter("pool", 0, "func", many=True),
    "signal.signal": Starter("signal", 1, "handler", many=False),
    "weakref.finalize": Starter("finalizer", 1, "func", many=False),
    "weakref.ref": Starter("finalizer", 1, "callback", many=False),
    "weakref.proxy": Starter("finalizer", 1, "callback", many=False),
    "gc.callbacks.append": Starter("finalizer", 0, "", many=False),
}
# By the name of the method, where the receiver's type is not known; those in POOLS need one that is called
# so.
METHODS: Final = {
    "submit": Starter("pool", 0, "fn", many=True),
    "apply_async": Starter("pool", 0, "func", many=True),
    "map_async": Starter("pool", 0, "func", many=True),
    "imap": Starter("pool", 0, "func", many=True),
    "imap_unordered": Starter("pool", 0, "func", many=True),
    "map": Starter("pool", 0, "fn", many=True),
    "run_in_executor": Starter("pool", 1, "func", many=True),
    "add_done_callback": Starter("callback", 0, "fn", many=True),
    "run_in_threadpool": Starter("pool", 0, "func", many=True),
    "start_background_task": Starter("thread", 0, "target", many=False),
    "add_job": Starter("pool", 0, "func", many=True),
    "callInThread": Starter("pool", 0, "f", many=True),
    "deferToThread": Starter("pool", 0, "f", many=True),
}
THREAD_CLASSES: Final = frozenset({"threading.Thread", "threading.Timer", "threading._Timer", "QThread"})
EXECUTORS: Final = frozenset(
    {
        "concurrent.futures.ThreadPoolExecutor",
        "concurrent.futures.thread.ThreadPoolExecutor",
        "multiprocessing.pool.ThreadPool",
        "multiprocessing.dummy.Pool",
    }
)
PROCESS_POOLS: Final = (
    "ProcessPoolExecutor",
    "multiprocessing.Pool",
    "multiprocessing.pool.Pool",
    "get_context",
)
POOL_NAMES: Final = ("executor", "pool", "scheduler", "tpe", "workers", "loop")

# Base classes whose methods a server or library calls from several threads.
HANDLER_BASES: Final = {
    "BaseHTTPRequestHandler": ("do_", "handle", "log_message"),
    "SimpleHTTPRequestHandler": ("do_", "handle"),
    "BaseRequestHandler": ("handle", "setup", "finish"),
    "StreamRequestHandler": ("handle", "setup", "finish"),
    "DatagramRequestHandler": ("handle",),
    "FileSystemEventHandler": ("on_", "dispatch"),
}
# Decorators of web frameworks that serve a plain function from a pool of threads.
ROUTES: Final = frozenset(
    {"route", "get", "post", "put", "delete", "patch", "before_request", "after_request", "errorhandler"}
)

LAST_NAMES: Final = frozenset({name.rpartition(".")[2] for name in FUNCTIONS} | METHODS.keys() | {"__init__"})


def may_start(method: str) -> bool:
    """Whether a call of this name may start a thread. Most cannot, and their types need not be known."""
    return method in LAST_NAMES
