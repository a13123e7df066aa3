"""Small programs with one planted mistake each, and their correct twins, by kind of mistake."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

Test = Callable[[], None]


def together(*functions: Callable[[], object]) -> None:
    """Call each in a thread of its own, and wait for all."""
    threads = [threading.Thread(target=function) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


# --- lost update ---


class Counter:
    def __init__(self) -> None:
        self.n = 0
        self.lock = threading.Lock()

    def add(self) -> None:
        self.n += 1

    def add_locked(self) -> None:
        with self.lock:
            self.n += 1


def lost_update() -> None:
    counter = Counter()
    together(counter.add, counter.add)
    assert counter.n == 2


def no_lost_update() -> None:
    counter = Counter()
    together(counter.add_locked, counter.add_locked, counter.add_locked)
    assert counter.n == 3


# --- check then act ---


def get_or_create() -> None:
    made: list[object] = []
    cache: dict[str, object] = {}
    got: list[object] = []

    def get() -> None:
        if "key" not in cache:
            cache["key"] = object()
            made.append(cache["key"])
        got.append(cache["key"])

    together(get, get)
    assert got[0] is got[1]


def setdefault() -> None:
    cache: dict[str, object] = {}
    got: list[object] = []

    def get() -> None:
        got.append(cache.setdefault("key", object()))

    together(get, get)
    assert got[0] is got[1]


# --- locks in opposite orders ---


class Account:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.money = 10


def transfer(source: Account, target: Account) -> None:
    with source.lock, target.lock:
        source.money -= 1
        target.money += 1


def opposite_locks() -> None:
    one, other = Account(), Account()
    together(lambda: transfer(one, other), lambda: transfer(other, one))


def ordered_locks() -> None:
    one, other = Account(), Account()
    together(lambda: transfer(one, other), lambda: transfer(one, other))
    assert (one.money, other.money) == (8, 12)


# --- a wait that is not in a loop ---


class Box:
    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.items: list[int] = []

    def put(self, item: int) -> None:
        with self.changed:
            self.items.append(item)
            self.changed.notify_all()

    def take_once(self) -> int:
        with self.changed:
            if not self.items:
                self.changed.wait()
            return self.items.pop()

    def take(self) -> int:
        with self.changed:
            while not self.items:
                self.changed.wait()
            return self.items.pop()


def wait_without_loop() -> None:
    box = Box()

    def put_two() -> None:
        box.put(1)
        box.put(2)

    together(box.take_once, box.take_once, put_two)


def wait_in_loop() -> None:
    box = Box()

    def put_two() -> None:
        box.put(1)
        box.put(2)

    together(box.take, box.take, put_two)
    assert not box.items


# --- lost wake-up ---


def lost_wakeup() -> None:
    changed = threading.Condition()
    state = {"ready": False}

    def wait() -> None:
        if not state["ready"]:
            with changed:
                changed.wait()

    def wake() -> None:
        state["ready"] = True
        with changed:
            changed.notify()

    together(wait, wake)


def no_lost_wakeup() -> None:
    changed = threading.Condition()
    state = {"ready": False}

    def wait() -> None:
        with changed:
            changed.wait_for(lambda: state["ready"])

    def wake() -> None:
        with changed:
            state["ready"] = True
            changed.notify()

    together(wait, wake)


# --- published before it is complete ---


class Settings:
    def __init__(self) -> None:
        self.value: int | None = None


class Holder:
    def __init__(self) -> None:
        self.settings: Settings | None = None
        self.lock = threading.Lock()


def publish_early() -> None:
    holder = Holder()

    def get() -> None:
        if holder.settings is None:
            with holder.lock:
                if holder.settings is None:
                    holder.settings = Settings()
                    holder.settings.value = 1
        assert holder.settings.value == 1

    together(get, get)


def publish_complete() -> None:
    holder = Holder()

    def get() -> None:
        if holder.settings is None:
            with holder.lock:
                if holder.settings is None:
                    settings = Settings()
                    settings.value = 1
                    holder.settings = settings
        assert holder.settings.value == 1

    together(get, get)


# --- two locked steps that belong together ---


class Pair:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.left = self.right = 5

    def move(self) -> None:
        with self.lock:
            self.left -= 1
            self.right += 1

    def get(self, side: str) -> int:
        with self.lock:
            return int(getattr(self, side))

    def total(self) -> int:
        with self.lock:
            return self.left + self.right


def torn_audit() -> None:
    pair = Pair()
    totals: list[int] = []
    together(pair.move, lambda: totals.append(pair.get("left") + pair.get("right")))
    assert totals == [10]


def whole_audit() -> None:
    pair = Pair()
    totals: list[int] = []
    together(pair.move, lambda: totals.append(pair.total()))
    assert totals == [10]


# --- ABA ---


class Node:
    def __init__(self, name: str, below: Node | None) -> None:
        self.name, self.below = name, below


class Stack:
    def __init__(self, *, versioned: bool) -> None:
        self.lock = threading.Lock()
        self.versioned = versioned
        self.version = 0
        self.top: Node | None = Node("a", Node("b", Node("c", None)))

    def swap(self, seen: Node | None, version: int, new: Node | None) -> bool:
        with self.lock:
            if self.top is not seen or (self.versioned and self.version != version):
                return False
            self.top = new
            self.version += 1
            return True

    def pop(self) -> Node:
        while True:
            with self.lock:
                seen, version = self.top, self.version
            assert seen is not None
            below = seen.below
            if self.swap(seen, version, below):
                return seen

    def push(self, node: Node) -> None:
        while True:
            with self.lock:
                seen, version = self.top, self.version
            node.below = seen
            if self.swap(seen, version, node):
                return


def use_stack(versioned: bool) -> None:
    stack = Stack(versioned=versioned)
    mine: list[Node] = []

    def reuse() -> None:
        first = stack.pop()
        mine.append(stack.pop())
        stack.push(first)

    together(stack.pop, reuse)
    assert stack.top not in mine


def reused_node() -> None:
    use_stack(versioned=False)


def versioned_node() -> None:
    use_stack(versioned=True)


# --- a circle of three ---


def dine(forks: list[threading.Lock], pairs: list[tuple[int, int]]) -> None:
    def eat(first: int, second: int) -> None:
        with forks[first], forks[second]:
            pass

    together(*[lambda first=first, second=second: eat(first, second) for first, second in pairs])


def philosophers() -> None:
    dine([threading.Lock() for _ in range(3)], [(0, 1), (1, 2), (2, 0)])


def polite_philosophers() -> None:
    dine([threading.Lock() for _ in range(3)], [(0, 1), (1, 2), (0, 2)])


# --- a timeout that is not noticed ---


def release_after_timeout() -> None:
    lock = threading.Lock()

    def hold() -> None:
        with lock:
            time.sleep(2)

    def try_to_hold() -> None:
        lock.acquire(timeout=1)
        lock.release()

    together(hold, try_to_hold)


def notice_timeout() -> None:
    lock = threading.Lock()

    def hold() -> None:
        with lock:
            time.sleep(2)

    def try_to_hold() -> None:
        if lock.acquire(timeout=1):
            lock.release()

    together(hold, try_to_hold)


# --- empty(), then get() ---


def work_with(take: Callable[[queue.Queue[int]], object]) -> None:
    jobs: queue.Queue[int] = queue.Queue()
    jobs.put(1)
    together(lambda: take(jobs), lambda: take(jobs))


def empty_then_get() -> None:
    def take(jobs: queue.Queue[int]) -> None:
        if not jobs.empty():
            jobs.get()

    work_with(take)


def get_or_nothing() -> None:
    def take(jobs: queue.Queue[int]) -> None:
        with suppress(queue.Empty):
            jobs.get_nowait()

    work_with(take)


# --- a callback under a lock ---


class Subject:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.callbacks: list[Callable[[], object]] = []

    def fire_locked(self) -> None:
        with self.lock:
            for callback in self.callbacks:
                callback()

    def fire(self) -> None:
        with self.lock:
            callbacks = list(self.callbacks)
        for callback in callbacks:
            callback()


def observe(fire: Callable[[Subject], None]) -> None:
    subject, other = Subject(), threading.Lock()

    def callback() -> None:
        with other:
            pass

    def subscribe() -> None:
        with other, subject.lock:
            pass

    subject.callbacks.append(callback)
    together(lambda: fire(subject), subscribe)


def callback_under_lock() -> None:
    observe(Subject.fire_locked)


def callback_without_lock() -> None:
    observe(Subject.fire)


PLANTED: dict[str, tuple[Test, Test]] = {
    "lost update": (lost_update, no_lost_update),
    "check then act": (get_or_create, setdefault),
    "opposite locks": (opposite_locks, ordered_locks),
    "wait without a loop": (wait_without_loop, wait_in_loop),
    "lost wake-up": (lost_wakeup, no_lost_wakeup),
    "published too early": (publish_early, publish_complete),
    "torn audit": (torn_audit, whole_audit),
    "reused node": (reused_node, versioned_node),
    "circle of three": (philosophers, polite_philosophers),
    "release after a timeout": (release_after_timeout, notice_timeout),
    "empty, then get": (empty_then_get, get_or_nothing),
    "callback under a lock": (callback_under_lock, callback_without_lock),
}
"""By kind: a test that fails under some schedule, and one that never does."""


def named(name: str) -> Any:
    """The test of that name."""
    return globals()[name]
