"""RWLock: who may be inside with whom, in which order threads enter, and what cannot break it."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import pytest

from tests.kit.hammer import PATIENCE, hammer, pause
from tests.kit.waiting import run_program, until, wait
from threadproof import DeadlockError
from threadproof.sync import AtomicFlag, AtomicInt, RWLock, RWLockStats


class Visits:
    """Threads that enter a lock one after the other, stay inside until told to leave, and note the order."""

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        self.lock = RWLock()
        self.entered: list[str] = []
        self._pool = pool
        self._leave: dict[str, threading.Event] = {}
        self._visits: dict[str, Future[None]] = {}

    def start(self, name: str) -> None:
        """Let a thread enter; it reads if its name begins with r. Returns when it is inside or waiting."""
        self._leave[name] = threading.Event()
        before = self.lock.stats().waiting
        self._visits[name] = self._pool.submit(self._visit, name)
        until(lambda: name in self.entered or self.lock.stats().waiting > before)

    def end(self, name: str) -> None:
        """Let a thread leave. Returns when it has."""
        self._leave[name].set()
        self._visits[name].result(PATIENCE)

    def end_all(self) -> None:
        for leave in self._leave.values():
            leave.set()
        for visit in self._visits.values():
            visit.result(PATIENCE)

    def expect(self, *entered: str) -> None:
        """These are inside or have been, and nobody else is about to enter."""
        until(lambda: len(self.entered) >= len(entered))
        assert self.lock.stats().waiting == len(self._visits) - len(entered)
        assert sorted(self.entered) == sorted(entered)

    def _visit(self, name: str) -> None:
        with self.lock.read() if name.startswith("r") else self.lock.write():
            self.entered.append(name)
            wait(self._leave[name])


@pytest.fixture
def visits() -> Iterator[Visits]:
    """Threads on their way through a lock; the test ends when they have left."""
    with ThreadPoolExecutor(8) as pool:
        these = Visits(pool)
        yield these
        these.end_all()


# Who is inside


def test_readers_are_inside_together_and_a_writer_alone(visits: Visits) -> None:
    for name in ("r1", "r2", "w1"):
        visits.start(name)
    visits.expect("r1", "r2")
    visits.end("r1")
    visits.expect("r1", "r2")
    visits.end("r2")
    visits.expect("r1", "r2", "w1")


def test_a_writer_goes_before_readers_that_come_later(visits: Visits) -> None:
    for name in ("r1", "w1", "r2"):
        visits.start(name)
    visits.expect("r1")
    visits.end("r1")
    visits.expect("r1", "w1")
    visits.end("w1")
    visits.expect("r1", "w1", "r2")


def test_waiting_readers_all_go_before_the_next_writer(visits: Visits) -> None:
    for name in ("w1", "w2", "r1", "w3", "r2"):
        visits.start(name)
    visits.end("w1")
    visits.expect("w1", "r1", "r2")
    visits.end("r1")
    visits.end("r2")
    visits.expect("w1", "r1", "r2", "w2")
    visits.end("w2")
    visits.expect("w1", "r1", "r2", "w2", "w3")


def test_writers_never_meet_anybody_and_readers_see_whole_changes() -> None:
    lock = RWLock()
    pair = [0, 0]

    def work(index: int) -> None:
        for n in range(500):
            if n % 4 == index:
                with lock.write():
                    pair[0] += 1
                    if n % 50 == 0:
                        pause()
                    pair[1] += 1
            else:
                with lock.read():
                    assert pair[0] == pair[1]

    hammer(work, 4)
    assert pair == [500, 500]
    assert lock.stats().writes == 500
    assert lock.stats().reads == 1500


# Fairness


def test_a_writer_gets_in_while_readers_never_stop_coming() -> None:
    """Two readers overlap, so that the lock is never free; a writer enters nevertheless."""
    lock = RWLock()
    written = AtomicFlag()
    inside = AtomicInt()

    def work(index: int) -> None:
        if index == 0:
            until(lambda: inside.load() > 10)
            with lock.write():
                written.store(True)
        while not written:
            with lock.read():
                seen = inside.fetch_add()
                while not written and inside.load() == seen + 1 and lock.stats().waiting == 0:
                    pause()  # until the other reader is inside as well, or somebody waits for us to leave

    hammer(work, 3)


def test_a_reader_gets_in_while_writers_never_stop_coming() -> None:
    """A writer leaves only when another one waits; a reader enters nevertheless."""
    lock = RWLock()
    read = AtomicFlag()
    writers = AtomicInt()

    def work(index: int) -> None:
        if index == 0:
            until(lambda: writers.load() > 10)
            with lock.read():
                read.store(True)
        while not read:
            with lock.write():
                writers.fetch_add()
                until(lambda: lock.stats().waiting > 0 or read)

    hammer(work, 3)


# The same thread again


def test_a_reader_reads_again_though_a_writer_waits(visits: Visits) -> None:
    with visits.lock.read():
        visits.start("w1")
        with visits.lock.read():
            visits.expect()
        visits.expect()
    visits.expect("w1")


def test_a_writer_writes_and_reads_again() -> None:
    lock = RWLock()
    with lock.write(), lock.write(), lock.read(), lock.write():
        assert lock.stats().writing
    assert not lock.stats().writing
    assert lock.stats().readers == 0


def test_a_hold_can_be_used_again_and_inside_itself() -> None:
    lock = RWLock()
    read = lock.read()
    for _ in range(2):
        with read as entered, read:
            assert entered is lock
            assert lock.stats().readers == 1
        assert lock.stats().readers == 0


def test_a_writer_that_goes_on_reading_lets_readers_in(visits: Visits) -> None:
    with ExitStack() as reading:
        with visits.lock.write():
            reading.enter_context(visits.lock.read())
            visits.start("r1")
            visits.expect()
        visits.expect("r1")
        visits.start("w1")
        visits.expect("r1")
        visits.end("r1")
    visits.expect("r1", "w1")


def test_a_reader_that_wants_to_write_is_told_why_not() -> None:
    lock = RWLock()
    with lock.read():
        for timeout in (None, 0, 10):
            with pytest.raises(DeadlockError, match=r"leave read\(\) first"), lock.write(timeout):
                pass
        assert lock.stats().readers == 1
    with lock.write():
        pass


# Timeouts and errors


@pytest.mark.parametrize("timeout", [0, 0.001])
def test_waiting_ends_with_its_timeout(visits: Visits, timeout: float) -> None:
    visits.start("w1")
    for hold in (visits.lock.read(timeout), visits.lock.write(timeout=timeout)):
        with (
            pytest.raises(TimeoutError, match=rf"{timeout} seconds; now there are 0 readers and 1 writers"),
            hold,
        ):
            pass
    assert visits.lock.stats().waiting == 0
    assert visits.lock.stats().timeouts == 2
    visits.end("w1")
    with visits.lock.write(timeout):
        pass


def test_readers_go_on_when_the_writer_before_them_gives_up(visits: Visits) -> None:
    visits.start("r1")
    gave_up = threading.Event()

    def write() -> None:
        with pytest.raises(TimeoutError), visits.lock.write(0.2):
            pass
        gave_up.set()

    writer = threading.Thread(target=write)
    writer.start()
    until(lambda: visits.lock.stats().waiting == 1 or gave_up.is_set())
    visits.start("r2")
    visits.expect("r1", "r2")
    writer.join(PATIENCE)


@pytest.mark.parametrize(("wrong", "error"), [("1", TypeError), (-1, ValueError), (float("nan"), ValueError)])
def test_a_wrong_timeout_is_refused_at_once(wrong: Any, error: type[Exception]) -> None:
    for method in (RWLock().read, RWLock().write):
        with pytest.raises(error, match="timeout"):
            method(wrong)


def test_an_exception_in_the_block_leaves_the_lock_open() -> None:
    lock = RWLock()
    for hold in (lock.read(), lock.write()):
        with pytest.raises(ZeroDivisionError), hold:
            raise ZeroDivisionError
    with lock.write(0):
        pass


def test_a_thread_cannot_leave_what_it_has_not_entered() -> None:
    lock = RWLock()
    read = lock.read()
    with pytest.raises(RuntimeError, match="not inside"):
        read.__exit__(None, None, None)
    with read, ThreadPoolExecutor() as pool:
        with pytest.raises(RuntimeError, match="the thread that entered has to leave"):
            pool.submit(read.__exit__, None, None, None).result(PATIENCE)
        with pytest.raises(RuntimeError, match="not inside"):
            lock.write().__exit__(None, None, None)


def test_a_new_thread_does_not_inherit_the_hold_of_one_that_ended() -> None:
    """CPython may give it the same ident."""
    lock = RWLock()
    enter = threading.Thread(target=lock.read().__enter__)
    enter.start()
    enter.join()
    for _ in range(5):
        with ThreadPoolExecutor(1) as pool, pytest.raises(TimeoutError):
            pool.submit(lock.write(0).__enter__).result(PATIENCE)


# As an object


def test_stats_count_the_threads_inside_and_waiting(visits: Visits) -> None:
    assert visits.lock.stats() == RWLockStats(0, False, 0, 0, 0, 0, 0)
    visits.start("r1")
    visits.start("r2")
    visits.start("w1")
    assert visits.lock.stats() == RWLockStats(2, False, 1, 2, 0, 1, 0)
    visits.end("r1")
    visits.end("r2")
    visits.expect("r1", "r2", "w1")
    assert visits.lock.stats() == RWLockStats(0, True, 0, 2, 1, 1, 0)


def test_a_lock_can_be_subclassed_and_referred_to_weakly_and_dies() -> None:
    class Named(RWLock):
        name = "mine"

    lock: Any = Named()
    lock.itself = lock.read()
    reference = weakref.ref(lock)
    with lock.write() as entered:
        assert entered.name == "mine"
    del lock, entered
    gc.collect()
    assert reference() is None


def test_ctrl_c_ends_waiting_and_leaves_the_lock_in_order() -> None:
    printed = run_program("""
        import os, signal, threading
        from threadproof.sync import RWLock
        lock = RWLock()
        entered, leave = threading.Event(), threading.Event()
        def write():
            with lock.write():
                entered.set()
                leave.wait()
        writer = threading.Thread(target=write)
        writer.start()
        entered.wait()
        caught = []
        def handler(*arguments):
            if not caught:
                caught.append(True)
                raise KeyboardInterrupt
        def interrupt():
            while not lock.stats().waiting:
                pass
            while not caught:
                os.kill(os.getpid(), signal.SIGINT)
                os.sched_yield()
        signal.signal(signal.SIGINT, handler)
        thread = threading.Thread(target=interrupt)
        thread.start()
        try:
            with lock.read():
                print("entered")
        except KeyboardInterrupt:
            print("interrupted", lock.stats().waiting)
        thread.join()
        leave.set()
        writer.join()
        with lock.write(0):
            print("free")
    """)
    assert printed.split("\n") == ["interrupted 0", "free"]


@pytest.mark.parametrize("outer", ["read", "write"])
@pytest.mark.parametrize("inner", ["read", "write"])
def test_a_signal_handler_may_wait_for_the_lock_its_thread_waits_for(outer: str, inner: str) -> None:
    printed = run_program(f"""
        import os, signal, threading
        from threadproof.sync import RWLock
        lock = RWLock()
        entered, leave = threading.Event(), threading.Event()
        def hold():
            with lock.write():
                entered.set()
                leave.wait()
        def until_waiting(count):
            while lock.stats().waiting < count:
                os.sched_yield()
        def interrupt():
            until_waiting(1)
            while not handled:
                os.kill(os.getpid(), signal.SIGUSR1)
                os.sched_yield()
            until_waiting(2)
            leave.set()
        handled = []
        def handler(*arguments):
            if not handled:
                handled.append(True)
                with lock.{inner}():
                    print("handler")
        signal.signal(signal.SIGUSR1, handler)
        threads = [threading.Thread(target=hold), threading.Thread(target=interrupt)]
        threads[0].start()
        entered.wait()
        threads[1].start()
        with lock.{outer}():
            print("block")
        for thread in threads:
            thread.join()
        with lock.write(0):
            print("free")
    """)
    assert printed.split("\n") == ["handler", "block", "free"]


def test_in_the_child_of_a_fork_only_the_holds_of_its_thread_remain() -> None:
    printed = run_program("""
        import os, threading
        from threadproof.sync import RWLock
        lock, mine = RWLock(), RWLock()
        entered, leave = threading.Event(), threading.Event()
        def write():
            with lock.write():
                entered.set()
                leave.wait()
        writers = [threading.Thread(target=write) for _ in range(2)]
        for writer in writers:
            writer.start()
        entered.wait()
        with mine.read():
            child = os.fork()
            if child == 0:
                with lock.write(0):
                    print(lock.stats().writing, lock.stats().waiting, mine.stats().readers, flush=True)
                os._exit(0)
        os.waitpid(child, 0)
        print(lock.stats().writing, mine.stats().readers)
        leave.set()
        for writer in writers:
            writer.join()
    """)
    assert printed.split("\n") == ["True 0 1", "True 0"]


def test_a_fork_in_the_midst_of_things_leaves_the_child_a_lock_that_works() -> None:
    printed = run_program("""
        import os, threading
        from threadproof.sync import AtomicFlag, RWLock
        lock, done = RWLock(), AtomicFlag()
        def work():
            while not done:
                with lock.write():
                    pass
                with lock.read():
                    pass
        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        for _ in range(20):
            child = os.fork()
            if child == 0:
                with lock.write(5), lock.read(5):
                    os._exit(7)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        done.store(True)
        for thread in threads:
            thread.join()
        print("done")
    """)
    assert printed == "done"


def test_the_interpreter_exits_while_threads_wait() -> None:
    printed = run_program("""
        import threading
        from threadproof.sync import RWLock
        lock = RWLock()
        lock.write().__enter__()
        def wait(timeout):
            try:
                with lock.read(timeout):
                    pass
            except TimeoutError:
                pass
        for timeout in [None, 0.01] * 4:
            threading.Thread(target=wait, args=[timeout], daemon=True).start()
        while lock.stats().contended < 8:
            pass
        print("bye")
    """)
    assert printed == "bye"
