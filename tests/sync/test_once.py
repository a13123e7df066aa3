"""Once, once and Lazy: one run, one result, and errors that reach all who wait for them."""

from __future__ import annotations

import gc
import itertools
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest

from tests.kit.hammer import PATIENCE, hammer
from tests.kit.interrupting import stopped_at
from tests.kit.waiting import run_program, until, wait
from threadproof import DeadlockError
from threadproof.sync import AtomicInt, Lazy, Once, OnceStats, once


class Slow:
    """A function whose outcome and end a test chooses."""

    def __init__(self) -> None:
        self.begun, self.end = threading.Event(), threading.Event()
        self.outcome: Any = "result"
        self.calls = AtomicInt()

    def __call__(self) -> Any:
        self.calls.fetch_add()
        self.begun.set()
        wait(self.end)
        if isinstance(self.outcome, BaseException):
            raise self.outcome
        return self.outcome


def waiters_of(this: Once[Any], fn: Callable[[], Any], pool: ThreadPoolExecutor, count: int) -> list[Any]:
    """That many threads that wait for the running call."""
    before = this.stats().waits
    waiting = [pool.submit(this.run, fn) for _ in range(count)]
    until(lambda: this.stats().waits == before + count)
    return waiting


# One run


def test_the_first_function_gives_the_result_of_all() -> None:
    this = Once[Any]()
    assert not this.done
    result = object()
    assert this.run(lambda: result) is result
    assert this.done
    assert this.run(lambda: 1 / 0) is result
    assert this.stats() == OnceStats(done=True, runs=1, waits=0)


@pytest.mark.parametrize("result", [None, False, 0, ValueError("a result"), NotImplemented])
def test_any_object_can_be_the_result(result: object) -> None:
    calls: list[int] = []

    def fn() -> object:
        calls.append(1)
        return result

    this = Lazy(fn)
    assert this.get() is result
    assert this.get() is result
    assert calls == [1]


def test_threads_that_come_at_once_run_one_function() -> None:
    for _ in range(30):
        calls = AtomicInt()
        this = Lazy(calls.fetch_add)
        assert hammer(lambda index, this=this: this.get(), 4) == [0] * 4  # type: ignore[misc]
        assert calls.load() == 1


def test_calls_during_the_run_wait_for_it() -> None:
    this, fn = Once[Any](), Slow()
    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(this.run, fn)
        wait(fn.begun)
        others = waiters_of(this, fn, pool, 3)
        assert not this.done
        fn.end.set()
        assert [each.result(PATIENCE) for each in [first, *others]] == ["result"] * 4
    assert fn.calls.load() == 1
    assert this.stats() == OnceStats(done=True, runs=1, waits=3)


@pytest.mark.parametrize("timeout", [0, 0.001])
def test_waiting_ends_with_its_timeout(timeout: float) -> None:
    fn = Slow()
    this = Lazy(fn)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(this.get)
        wait(fn.begun)
        with pytest.raises(TimeoutError):
            this.get(timeout)
        fn.end.set()
        assert first.result(PATIENCE) == "result"
    assert this.get(timeout) == "result"


# Errors


@pytest.mark.parametrize("timeout", [-1, float("nan")])
def test_a_wrong_timeout_is_refused_before_the_function_runs(timeout: float) -> None:
    this = Lazy[object](object)
    with pytest.raises(ValueError, match="at least 0"):
        this.get(timeout)
    assert not this.done


def test_an_error_reaches_all_waiting_threads_and_the_next_call_tries_again() -> None:
    this, fn = Once[Any](), Slow()
    fn.outcome = error = ArithmeticError("failed")
    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(this.run, fn)
        wait(fn.begun)
        others = waiters_of(this, fn, pool, 3)
        fn.end.set()
        assert [each.exception(PATIENCE) for each in [first, *others]] == [error] * 4
    assert not this.done
    assert this.run(lambda: "second") == "second"
    assert this.stats() == OnceStats(done=True, runs=2, waits=3)


@pytest.mark.parametrize("end", [KeyboardInterrupt, SystemExit])
def test_what_ends_one_thread_lets_another_one_try(end: type[BaseException]) -> None:
    this, fn = Once[Any](), Slow()
    fn.outcome = end()
    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(this.run, fn)
        wait(fn.begun)
        others = waiters_of(this, lambda: "second", pool, 2)
        fn.end.set()
        assert isinstance(first.exception(PATIENCE), end)
        assert [each.result(PATIENCE) for each in others] == ["second"] * 2
    assert this.stats().runs == 2


class Interrupted:
    """An Once's reference to its attempt; a signal comes just before a failed attempt is removed."""

    def __init__(self, reference: Any) -> None:
        self._reference, self.signals = reference, 1

    def load(self) -> Any:
        return self._reference.load()

    def compare_exchange(self, expected: Any, new: Any) -> bool:
        if new is None and self.signals:
            self.signals -= 1
            raise KeyboardInterrupt
        return bool(self._reference.compare_exchange(expected, new))


@pytest.mark.parametrize("outcome", [LookupError("failed"), SystemExit()])
def test_a_signal_while_a_failed_run_ends_leaves_no_thread_waiting(outcome: BaseException) -> None:
    this, slow = Once[str](), Slow()
    this._attempt = Interrupted(this._attempt)  # type: ignore[assignment]  # pyright: ignore
    slow.outcome = outcome
    with ThreadPoolExecutor(2) as pool:
        run = pool.submit(this.run, slow)
        wait(slow.begun)
        (waiting,) = waiters_of(this, lambda: "again", pool, 1)
        slow.end.set()
        assert type(run.exception(PATIENCE)) is KeyboardInterrupt
        if isinstance(outcome, Exception):
            assert waiting.exception(PATIENCE) is outcome
        else:
            assert waiting.result(PATIENCE) == "again"
    assert this.run(lambda: "again") == "again"


def test_an_error_is_let_go_of() -> None:
    class Failed(Exception):
        """Can be referred to weakly, as built-in errors cannot."""

    def fail() -> None:
        raise Failed

    this = Once[Any]()
    with pytest.raises(Failed) as failure:
        this.run(fail)
    watched = weakref.ref(failure.value)
    del failure
    gc.collect()
    assert watched() is None


def test_a_function_that_runs_its_own_once_is_refused() -> None:
    this = Once[Any]("configuration")
    with pytest.raises(DeadlockError, match="'configuration'"):
        this.run(lambda: this.run(lambda: 1))
    assert this.run(lambda: 2) == 2


def test_functions_that_wait_for_each_other_are_refused_once() -> None:
    both = threading.Barrier(2)
    lazies: list[Lazy[int]] = []

    def fn(index: int) -> int:
        both.wait(PATIENCE)
        return lazies[1 - index].get()

    lazies += [Lazy(lambda: fn(0)), Lazy(lambda: fn(1))]

    def work(index: int) -> bool:
        try:
            lazies[index].get()
        except DeadlockError:
            return True
        return False

    assert any(hammer(work, 2))
    assert not lazies[0].done
    assert not lazies[1].done


# The decorator


def test_a_decorated_function_runs_once_and_keeps_its_name() -> None:
    calls: list[int] = []

    @once
    def settings(default: int = 5, *rest: int, **more: int) -> dict[str, int]:
        """The settings."""
        calls.append(1)
        return {"size": default}

    assert not settings.done
    assert settings() is settings()
    assert settings() == {"size": 5}
    assert calls == [1]
    assert settings.done
    assert settings.stats().runs == 1
    assert vars(settings)["__name__"] == "settings"
    assert settings.__doc__ == "The settings."


def test_a_decorated_function_that_calls_itself_is_refused_by_name() -> None:
    @once
    def recursive() -> int:
        return recursive()

    with pytest.raises(DeadlockError, match="recursive"):
        recursive()


def test_a_function_that_needs_arguments_or_awaiting_is_refused() -> None:
    def needs(path: str, *, size: int) -> None: ...

    async def later() -> None: ...

    with pytest.raises(TypeError, match=r"needs path, size; .*compute_if_absent"):
        once(needs)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    with pytest.raises(TypeError, match="later is async"):
        once(later)
    with pytest.raises(TypeError, match=r"Lazy\(\) .*later is async"):
        Lazy(later)
    fresh: Once[object] = Once()
    for given in (later, partial(later)):
        with pytest.raises(TypeError, match=r"Once.run\(\) wants a function"):
            fresh.run(given)
    assert fresh.run(lambda: 1) == 1


def test_a_function_that_has_returned_never_runs_again_wherever_an_interrupt_comes() -> None:
    for step in itertools.count(1):
        ends: list[int] = []
        one: Once[int] = Once()

        def fn(ends: list[int] = ends) -> int:
            ends.append(1)
            return 5

        interrupted = stopped_at(step, partial(one.run, fn), lambda file: file.endswith("sync/once.py"))
        # a thread that did not begin the run: it would wait for one that nobody ends
        with ThreadPoolExecutor(1) as others:
            assert others.submit(one.run, fn, PATIENCE).result() == 5
        assert len(ends) == 1, f"interrupted at instruction {step}"
        if not interrupted:
            assert step > 20  # the test reaches the instructions after the run
            return


# Forks and ends


def test_in_the_child_of_a_fork_a_run_of_another_thread_begins_anew() -> None:
    printed = run_program("""
        import os, threading
        from threadproof.sync import Lazy, Once
        begun, end = threading.Event(), threading.Event()
        def slow():
            begun.set()
            end.wait()
            return "parent"
        this, done = Once(), Lazy(lambda: "done")
        done.get()
        thread = threading.Thread(target=this.run, args=[slow])
        thread.start()
        begun.wait()
        child = os.fork()
        if child == 0:
            print(this.run(lambda: "child"), done.done, flush=True)
            os._exit(0)
        os.waitpid(child, 0)
        end.set()
        thread.join()
        print(this.run(lambda: "again"))
    """)
    assert printed.split("\n") == ["child True", "parent"]


def test_the_interpreter_exits_while_threads_wait() -> None:
    printed = run_program("""
        import threading
        from threadproof.sync import Once
        this, begun = Once(), threading.Event()
        def never():
            begun.set()
            threading.Event().wait()
        threading.Thread(target=this.run, args=[never], daemon=True).start()
        begun.wait()
        threading.Thread(target=this.run, args=[never], daemon=True).start()
        while not this.stats().waits:
            pass
        print("bye")
    """)
    assert printed == "bye"


def test_they_show_what_they_are_for() -> None:
    assert repr(Once[int]("start-up")) == "Once('start-up')"
    assert repr(Lazy(dict)) == "Lazy(dict)"
