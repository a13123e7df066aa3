"""The probe publishes the steps of threads: locks, queues, starts and joins, accesses to shared variables.

    from threadproof import probe

    def count(event):
        sites[str(event.place())] += 1

    with probe.subscribe(acquired=count):
        run()

The race detector is one subscriber. `subscribe()` is for callbacks in Python, which cost microseconds for
each event: for tests, experiments and reports. It needs CPython 3.14 or 3.15.

A subscription intercepts the functions that it needs. Methods of C types and functions of the standard
library stay intercepted, because there is no safe way back. After the last subscription they publish to no
subscriber, which costs some nanoseconds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self

from threadproof import _core
from threadproof.probe.events import (
    CLASSES,
    AccessEvent,
    Event,
    ItemEvent,
    LockEvent,
    MapEvent,
    ModuleEvent,
    ObjectEvent,
    OrderEvent,
    PermitEvent,
    ThreadEvent,
    WaitEvent,
)
from threadproof.probe.flags import AccessFlag
from threadproof.probe.instrumentation import UnsupportedError
from threadproof.probe.scope import Scope
from threadproof.probe.selftest import SelfTestError
from threadproof.probe.watch import NOWHERE, Watch

__all__ = [
    "AccessEvent",
    "AccessFlag",
    "Event",
    "ItemEvent",
    "LockEvent",
    "MapEvent",
    "ModuleEvent",
    "ObjectEvent",
    "OrderEvent",
    "PermitEvent",
    "Scope",
    "SelfTestError",
    "Subscription",
    "ThreadEvent",
    "UnsupportedError",
    "WaitEvent",
    "subscribe",
]

Callback = Callable[[Any], object]

# The methods of C types that publish an event, by its class.
METHODS: dict[type[Event], frozenset[str]] = {
    LockEvent: frozenset({"locks"}),
    OrderEvent: frozenset({"order"}),
    ItemEvent: frozenset({"items"}),
    WaitEvent: frozenset({"items"}),
    AccessEvent: frozenset({"accesses"}),
}


class Subscription:
    """Callbacks that receive events from start() to stop(); `with` calls both."""

    def __init__(self, callbacks: Mapping[str, Callback], scope: Scope | None) -> None:
        self.callbacks = dict(callbacks)
        groups = [METHODS.get(CLASSES[kind], frozenset()) for kind in callbacks]
        self.watch = Watch(scope or NOWHERE, frozenset().union(*groups))
        self.slot: int | None = None

    def start(self) -> None:
        """RuntimeError if there are too many subscribers; UnsupportedError; SelfTestError."""
        if self.slot is not None:
            raise RuntimeError("this subscription has started already; make another one, or stop it first")
        self.watch.start()
        try:
            if not self.watch.armed:
                self.watch.arm()
            self.slot = _core.probe.subscribe(self.callbacks)
        except BaseException:
            self.watch.stop()
            raise

    def stop(self) -> None:
        """End the subscription: no callback is called for later events; a running one continues."""
        if self.slot is not None:
            _core.probe.unsubscribe(self.slot)
            self.slot = None
            self.watch.stop()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()


def subscribe(*, scope: Scope | None = None, **callbacks: Callback) -> Subscription:
    """A subscription: its keywords name events, and their values are called with each of them.

    | keyword | called |
    |---|---|
    | acquiring, acquired, abandoned, releasing | around the acquisition of a lock, and before its release |
    | publishing, observed | before a step that orders, such as Event.set(), and after its observation |
    | sending, unsent, received | around an item's way through a queue |
    | giving_permits, took_permit | of a semaphore |
    | waiting, waited | around a join(), a get() of a SimpleQueue, a computation of another thread |
    | creating_thread, thread_began, thread_ending, joined | of threads |
    | accessing | before an access to a variable, by code in the `scope` |
    | read_key, changing_key, read_map, changing_map, computing, computed | of concurrent maps |
    | allocated, owned | of objects: of classes in the `scope`; when a finaliser has the only reference |
    | module_ran, module_seen | of imports, by code in the `scope` |

    A callback is called by the thread that the event is about. It may block that thread. Its own steps are
    not published, no signal handler interrupts it, and its exceptions go to sys.unraisablehook. At most 4
    subscribers, the race detector included, may exist at once.
    """
    unknown = set(callbacks) - set(CLASSES)
    if unknown or not callbacks:
        named = ", ".join(sorted(unknown)) or "at all"
        raise TypeError(f"subscribe() has no event {named}; there are {', '.join(CLASSES)}")
    return Subscription(callbacks, scope)


if hasattr(_core.probe, "set_event_classes"):  # if the probe supports the interpreter
    _core.probe.set_event_classes(CLASSES)
