"""Mistakes of real programs, as small as possible: patterns found in servers and clusters."""

from __future__ import annotations

import collections
import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

from tests.race.schedule import Box, Gate, reports, run


@reports("unordered-read")
def race_loop_variable_captured_by_a_worker() -> None:
    """Every worker should have its own name, but all read the loop's variable."""
    seen: collections.deque[str] = collections.deque()
    threads = []
    for name in ("a", "b", "c"):
        threads.append(threading.Thread(target=lambda: seen.append(name)))  # noqa: B023
        threads[-1].start()
    for thread in threads:
        thread.join()


@reports("lost-update", "unordered-writes", "unordered-read", "read-during-update")
def race_error_that_an_inner_function_overwrites() -> None:
    """The helper stores into its caller's `error`, which the caller stores into itself."""
    error: object = None
    stored = Gate()

    def probe() -> None:
        nonlocal error
        error = OSError()
        stored.open()

    helper = threading.Thread(target=probe)
    helper.start()
    stored.wait()
    error = error or None
    helper.join()
    stored.close()


@reports("changed-during-iteration", "check-then-act")
def race_eviction_while_the_cache_is_written() -> None:
    table = {i: i for i in range(5)}

    def evict() -> None:
        with contextlib.suppress(RuntimeError):
            for key in table:
                if key > 100:
                    break

    def write() -> None:
        table[9] = 9

    run(evict, write)


@reports("lost-update", "read-during-update")
def race_statistics_beside_the_lock() -> None:
    """The cache is locked, and its count of hits is not."""

    class Cache:
        def __init__(self) -> None:
            self.lock = threading.Lock()
            self.values = {"k": 1}
            self.hits = 0

        def get(self) -> int:
            with self.lock:
                value = self.values["k"]
            self.hits += 1
            return value

    cache = Cache()
    run(cache.get, cache.get)


@reports("unordered-read", "unordered-writes", "check-then-act", "double-checked-lock")
def race_closed_flag_beside_the_lock() -> None:
    class Connection:
        def __init__(self) -> None:
            self.lock = threading.Lock()
            self.closed = False

        def close(self) -> None:
            with self.lock:
                self.closed = True

        def send(self) -> bool:
            return not self.closed

    connection = Connection()
    run(connection.close, connection.send)


@reports("unordered-read")
def race_field_set_after_the_thread_that_reads_it_started() -> None:
    class Server:
        name: str = ""

        def start(self) -> None:
            self.thread = threading.Thread(target=self.serve)
            self.thread.start()
            self.name = "server"

        def serve(self) -> None:
            assert self.name in ("", "server")

    server = Server()
    server.start()
    server.thread.join()


def no_race_field_set_before_the_thread_that_reads_it_starts() -> None:
    class Server:
        name: str = ""

        def start(self) -> None:
            self.name = "server"
            self.thread = threading.Thread(target=self.serve)
            self.thread.start()

        def serve(self) -> None:
            assert self.name == "server"

    server = Server()
    server.start()
    server.thread.join()


@reports("unordered-read")
def race_reference_given_out_under_the_lock() -> None:
    """The lock guards the lookup of the list, and the list is used without it."""

    class Registry:
        def __init__(self) -> None:
            self.lock = threading.Lock()
            self.settings = {"level": 0}

        def all(self) -> dict[str, int]:
            with self.lock:
                return self.settings

        def set(self, level: int) -> None:
            with self.lock:
                self.settings["level"] = level

    registry, looked = Registry(), Gate()

    def look() -> None:
        assert registry.all()["level"] == 0
        looked.open()

    def change() -> None:
        looked.wait()
        registry.set(1)

    run(look, change)
    looked.close()


def no_race_copy_given_out_under_the_lock() -> None:
    class Registry:
        def __init__(self) -> None:
            self.lock = threading.Lock()
            self.settings = {"level": 0}

        def all(self) -> dict[str, int]:
            with self.lock:
                return dict(self.settings)

        def set(self, level: int) -> None:
            with self.lock:
                self.settings["level"] = level

    registry = Registry()
    run(lambda: registry.set(1), lambda: registry.all()["level"])


@reports("lost-update")
def race_backoff_shared_by_callers() -> None:
    class Backoff:
        def __init__(self) -> None:
            self.delay = 1.0

        def next(self) -> float:
            self.delay = min(self.delay * 2, 60.0)
            return self.delay

    backoff = Backoff()
    run(backoff.next, backoff.next)


@reports("unordered-writes", "check-then-act", "lost-update")
def race_connection_replaced_by_two_who_reconnect() -> None:
    class Client:
        connection: Box | None = None

        def reconnect(self) -> None:
            self.connection = Box()

    client = Client()
    run(client.reconnect, client.reconnect)


@reports("unordered-read", "check-then-act")
def race_watcher_that_is_stopped_twice() -> None:
    class Watcher:
        def __init__(self) -> None:
            self.stopped = False
            self.stops = 0

        def stop(self) -> None:
            if not self.stopped:
                self.stopped = True

    watcher = Watcher()
    run(watcher.stop, watcher.stop)


@reports("lost-update")
def race_recorder_used_by_two_handlers() -> None:
    """A fake made for one caller is handed to a service with several."""

    class Recorder:
        def __init__(self) -> None:
            self.calls: list[str] = []
            self.count = 0

        def record(self, name: str) -> None:
            self.calls.append(name)
            self.count += 1

    recorder = Recorder()
    run(lambda: recorder.record("a"), lambda: recorder.record("b"))


@reports("unordered-read")
def race_default_object_that_all_share() -> None:
    class Options:
        def __init__(self) -> None:
            self.timeout = 1

    default = Options()

    def call(timeout: int | None, options: Options = default) -> int:
        if timeout:
            options.timeout = timeout
        return options.timeout

    run(lambda: call(5), lambda: call(None))


@reports("lost-update", "unordered-writes", "read-during-update")
def race_list_that_is_a_default_argument() -> None:
    def collect(value: int, into: list[int] = [0]) -> list[int]:  # noqa: B006
        into[0] += value
        return into

    run(lambda: collect(1), lambda: collect(2))


@reports("unordered-read", "unordered-writes", "lost-update")
def race_state_machine_asked_by_one_and_driven_by_another() -> None:
    class Breaker:
        def __init__(self) -> None:
            self.state = "closed"
            self.failures = 0

        def fail(self) -> None:
            self.failures += 1
            if self.failures > 0:
                self.state = "open"

        def allows(self) -> bool:
            return self.state == "closed"

    breaker = Breaker()
    run(breaker.fail, breaker.allows)


@reports("check-then-act", "lost-update", "read-during-update")
def race_pool_that_makes_one_too_many() -> None:
    class Connections:
        def __init__(self) -> None:
            self.idle: list[Box] = []
            self.made = 0

        def get(self) -> Box:
            if self.idle:
                return self.idle.pop()
            if self.made < 1:
                self.made += 1
                return Box()
            return Box()

    connections = Connections()
    run(connections.get, connections.get)


@reports("lost-update")
def race_index_that_goes_round() -> None:
    class RoundRobin:
        def __init__(self, *servers: str) -> None:
            self.servers = servers
            self.at = 0

        def next(self) -> str:
            server = self.servers[self.at]
            self.at = (self.at + 1) % len(self.servers)
            return server

    servers = RoundRobin("a", "b")
    run(servers.next, servers.next)


@reports("lost-update", "check-then-act")
def race_reference_count_of_a_resource() -> None:
    class Shared:
        def __init__(self) -> None:
            self.users = 2
            self.open = True

        def release(self) -> None:
            self.users -= 1
            if self.users == 0:
                self.open = False

    shared = Shared()
    run(shared.release, shared.release)


def no_race_reference_count_under_a_lock() -> None:
    class Shared:
        def __init__(self) -> None:
            self.lock = threading.Lock()
            self.users = 2
            self.open = True

        def release(self) -> None:
            with self.lock:
                self.users -= 1
                last = self.users == 0
            if last:
                self.open = False

    shared = Shared()
    run(shared.release, shared.release)
    assert not shared.open


@reports("unordered-writes", "lost-update", "unordered-read", "read-during-update")
def race_context_manager_that_two_threads_enter() -> None:
    class Timer:
        def __enter__(self) -> None:
            self.began = threading.get_ident()

        def __exit__(self, *error: object) -> None:
            assert self.began

    timer = Timer()

    def work() -> None:
        with timer:
            pass

    run(work, work)


@reports("unordered-read", "unordered-writes")
def race_callback_registered_while_events_are_sent() -> None:
    class Source:
        def __init__(self) -> None:
            self.callback: Callable[[], None] | None = None

        def fire(self) -> None:
            callback = self.callback
            if callback:
                callback()

    source = Source()
    run(source.fire, lambda: setattr(source, "callback", lambda: None))


@reports("changed-during-iteration")
def race_listeners_added_while_they_are_called() -> None:
    listeners: list[Callable[[], None]] = [lambda: None]

    def fire() -> None:
        for listener in listeners:
            listener()

    run(fire, lambda: listeners.append(lambda: None))


def no_race_listeners_replaced_under_a_lock_and_called_from_a_copy() -> None:
    lock = threading.Lock()
    listeners: list[Callable[[], None]] = [lambda: None]

    def fire() -> None:
        with lock:
            current = tuple(listeners)
        for listener in current:
            listener()

    def add() -> None:
        with lock:
            listeners.append(lambda: None)

    run(fire, add, fire)


@reports("unordered-read")
def race_result_read_after_a_wait_that_gave_up() -> None:
    box, gave_up = Box(v=None), Gate()

    def work() -> None:
        box.v = 1
        gave_up.wait()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(timeout=0.005)
    assert box.v in (None, 1)
    gave_up.open()
    thread.join()
    gave_up.close()


def no_race_result_read_after_a_wait_that_succeeded() -> None:
    box = Box(v=None)
    thread = threading.Thread(target=lambda: setattr(box, "v", 1))
    thread.start()
    while thread.is_alive():
        thread.join(timeout=0.001)
    assert box.v == 1


@reports("unordered-read")
def race_published_before_it_is_complete() -> None:
    class Node:
        def __init__(self, registry: dict[str, Node]) -> None:
            registry["me"] = self
            self.ready = True

    registry: dict[str, Node] = {}

    def find() -> object:
        node = registry.get("me")
        return node is not None and getattr(node, "ready", False)

    run(lambda: Node(registry), find)


def no_race_immutable_snapshot_replaced_under_a_lock() -> None:
    class Config:
        def __init__(self) -> None:
            self.lock = threading.Lock()
            self.values: tuple[int, ...] = ()

        def add(self, value: int) -> None:
            with self.lock:
                self.values = (*self.values, value)

        def get(self) -> tuple[int, ...]:
            with self.lock:
                return self.values

    config = Config()
    run(lambda: config.add(1), config.get, lambda: config.add(2))


@reports("lost-update")
def race_generator_based_ids() -> None:
    def ids() -> Iterator[int]:
        n = 0
        while True:
            n += 1
            yield n

    source = ids()

    def take() -> None:
        with contextlib.suppress(ValueError):
            next(source)

    run(take, take)


def no_race_workers_that_own_what_they_take() -> None:
    tasks: collections.deque[Any] = collections.deque(Box(n=i) for i in range(6))

    def work() -> None:
        while True:
            try:
                task = tasks.popleft()
            except IndexError:
                return
            task.n += 1

    run(work, work)


def no_race_results_by_index() -> None:
    results: list[int | None] = [None] * 4

    def work(place: int) -> Callable[[], None]:
        def act() -> None:
            results[place] = place * place

        return act

    run(*map(work, range(4)))
    assert results == [0, 1, 4, 9]
