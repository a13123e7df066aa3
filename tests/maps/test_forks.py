"""Maps in a forked child: its only thread can use them, whatever the parent's other threads were doing."""

from __future__ import annotations

import os
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from tests.kit.waiting import run_program
from tests.maps.conftest import MAPS
from threadproof.maps import ConcurrentMap

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
ROOT = Path(__file__).parents[2]
EVERY_MAP = pytest.mark.parametrize("cls", MAPS, ids=lambda each: each.__name__)

PRELUDE = """
import os, signal, sys, threading, warnings
warnings.simplefilter("ignore")
sys.path.insert(0, {root!r})
from threadproof import DeadlockError
from {module} import {name} as Map
def in_a_child(work):
    child = os.fork()
    if child == 0:
        signal.alarm(60)  # a child that hangs is killed
        try:
            work()
        except BaseException as error:
            print(repr(error), flush=True)
            os._exit(1)
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code == 0, code
"""


def forks(cls: type[ConcurrentMap[Any, Any]], program: str) -> str:
    prelude = PRELUDE.format(root=str(ROOT), module=cls.__module__, name=cls.__name__)
    return run_program(prelude + dedent(program))


@EVERY_MAP
def test_a_forked_child_goes_on_with_the_map_while_the_parents_threads_write(
    cls: type[ConcurrentMap[Any, Any]],
) -> None:
    printed = forks(
        cls,
        """
        m = Map({i: i for i in range(1000)})
        stop = threading.Event()
        def write(n):
            while not stop.is_set():
                for i in range(n, 10_000, 7):
                    m[i] = i
                    if i % 5 == 0:
                        m.pop(i + 1, None)
                m.delete_many(range(1000, 10_000))
                m.snapshot(), len(m), m.compute(n, lambda old: n)
        threads = [threading.Thread(target=write, args=(n,), daemon=True) for n in range(3)]
        for t in threads:
            t.start()
        def child():
            for i in range(1000):
                m[i] = i
                assert m[i] == i
                if i % 200 == 0:
                    len(m), m.snapshot(), m.add("n")
            m.drain()
            m.clear()
            assert len(m) == 0 and not list(m)
            m.update({i: i for i in range(1000)})
            assert len(m) == 1000
            m.check()
        for _ in range(20):
            in_a_child(child)
        stop.set()
        for t in threads:
            t.join()
        m.check()
        print("ok")
        """,
    )
    assert printed == "ok"


WAITING = {
    "set": "m.__setitem__('k', 1)",
    "swap": "m.swap('k', 1)",
    "pop": "m.pop('k', None)",
    "delete": "m.delete_many(['k'])",
    "setdefault": "m.setdefault('k', 1)",
    "popitem": "m['other'] = 0; m.popitem(); m.popitem() if m else 0",
    "compute": "m.compute('k', lambda old: 1)",
    "with a timeout": "m.compute('k', lambda old: 1, timeout=0)",
    "absent": "m.compute_if_absent('k', lambda key: 1)",
    "present": "m.compute_if_present('k', lambda old: 1)",
    "merge": "m.merge('k', 1, lambda old, new: 1)",
    "add": "m.add('k', 1.5)",
    "count_many": "m.count_many(['k'])",
    "compare_and_swap": "m.compare_and_swap('k', 0, 1)",
    "update": "m.update(k=1)",
    "drain": "m.drain()",
    "clear": "m.clear()",
    "copy": "m.copy()['k'] = 1",
    "iterate": "list(m), list(m.items()), m.snapshot(), len(m)",
}


@EVERY_MAP
@pytest.mark.parametrize("first", ["k=0", ""], ids=["present", "absent"])
def test_a_forked_child_waits_for_no_computation_of_a_thread_it_has_not_got(
    cls: type[ConcurrentMap[Any, Any]], first: str
) -> None:
    printed = forks(
        cls,
        f"""
        m = Map({first})
        inside, go_on = threading.Event(), threading.Event()
        def fn(old):
            inside.set()
            go_on.wait()
            return "new"
        thread = threading.Thread(target=m.compute, args=("k", fn), daemon=True)
        thread.start()
        inside.wait()
        def child(operation):
            exec(operation, globals())
            m["k"] = "child's"
            assert m.compute("k", str.upper, timeout=1) == "CHILD'S"
            m.check()
        for operation in {list(WAITING.values())}:
            in_a_child(lambda: child(operation))
        go_on.set()
        thread.join()
        print(m["k"])
        """,
    )
    assert printed == "new"


@EVERY_MAP
def test_a_signal_handler_that_forks_while_its_thread_waits_leaves_no_child_waiting(
    cls: type[ConcurrentMap[Any, Any]],
) -> None:
    printed = forks(
        cls,
        """
        m = Map(k=0)
        inside, go_on, codes = threading.Event(), threading.Event(), []
        def fn(old):
            inside.set()
            go_on.wait()
            return "new"
        thread = threading.Thread(target=m.compute, args=("k", fn), daemon=True)
        thread.start()
        inside.wait()
        children = []
        def handler(*_):
            children.append(os.fork())
            if children[-1] == 0:
                signal.alarm(60)
            else:
                go_on.set()
        signal.signal(signal.SIGUSR1, handler)
        pester = threading.Timer(0.05, lambda: os.kill(os.getpid(), signal.SIGUSR1))
        pester.start()
        m["k"] = "mine"  # waits for the thread, which the child has not got
        if children == [0]:
            assert m["k"] == "mine"
            os._exit(0)
        pester.join(), thread.join()
        print(os.waitstatus_to_exitcode(os.waitpid(children[0], 0)[1]))
        """,
    )
    assert printed == "0"


@EVERY_MAP
def test_a_computation_that_forks_goes_on_in_both_processes(cls: type[ConcurrentMap[Any, Any]]) -> None:
    printed = forks(
        cls,
        """
        m = Map(k=1)
        children = []
        def fn(old):
            children.append(os.fork())
            return old + 1
        assert m.compute("k", fn) == 2
        m.check()
        assert m == {"k": 2}, m
        assert m.drain() == {"k": 2}
        if children == [0]:
            os._exit(0)
        assert os.waitpid(children[0], 0)[1] == 0
        print("ok")
        """,
    )
    assert printed == "ok"


@EVERY_MAP
def test_threads_of_a_child_meet_no_deadlock_of_the_parents_threads(
    cls: type[ConcurrentMap[Any, Any]],
) -> None:
    """The child's new threads can have the identifiers of threads that waited in the parent."""
    printed = forks(
        cls,
        """
        m = Map(a=0, b=0)
        inside, go_on = threading.Event(), threading.Event()
        def fn(old):
            inside.set()
            go_on.wait()
            return 1
        threads = [threading.Thread(target=m.compute, args=("a", fn), daemon=True)]
        threads[0].start()
        inside.wait()
        threads += [threading.Thread(target=m.__setitem__, args=("a", n), daemon=True) for n in range(4)]
        for t in threads[1:]:
            t.start()
        def child():
            def wait_in_turn(key):
                for _ in range(100):
                    m.compute(key, lambda old: old + 1)
            for _ in range(3):
                ours = [threading.Thread(target=wait_in_turn, args=(key,)) for key in "aabb"]
                for t in ours:
                    t.start()
                for t in ours:
                    t.join()
            assert m["b"] == 600, m
        in_a_child(child)
        go_on.set()
        for t in threads:
            t.join()
        print("ok")
        """,
    )
    assert printed == "ok"
