"""A program behaves under the detector as without it: output, exit code, tracebacks, other tools."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kit.hammer import PATIENCE
from tests.kit.watched import without_summary
from threadproof import _core

if not hasattr(_core, "race"):
    pytest.skip("the race detector needs CPython 3.14", allow_module_level=True)

IN_THREADS = """
import threading
def in_threads(function):
    threads = [threading.Thread(target=function, name=f"t{n}") for n in range(2)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
"""

# Each runs with a second thread, so that the detector is at work, and prints or raises what it sees.
PROGRAMS = {
    "an exit code": "in_threads(int); import sys; sys.exit(7)",
    "an exit code of another kind": "in_threads(int); raise SystemExit('bye')",
    "an exit with None": "in_threads(int); raise SystemExit",
    "an exception that nobody catches": "def f(): raise KeyError('k')\nin_threads(int); f()",
    "an exception in a thread": (
        "def f(): [][1]\nthread = threading.Thread(target=f, name='t'); thread.start(); thread.join()"
    ),
    "an exception with a cause": (
        "in_threads(int)\ntry: {}['a']\nexcept KeyError as e: raise ValueError('v') from e"
    ),
    "a syntax error": "in_threads(int) +",
    "a hook for exceptions": (
        "import sys\nin_threads(int)\n"
        "sys.excepthook = lambda kind, error, trace: print(kind, error, trace.tb_frame.f_code.co_name)\n1 / 0"
    ),
    "an exception group": "in_threads(int); raise ExceptionGroup('g', [ValueError(1), KeyError(2)])",
    "the calls of a traceback": (
        "import traceback\n"
        "def f():\n"
        "    d = {}\n"
        "    try: d['x'].append(1)\n"
        "    except KeyError: print(traceback.format_exc(), end='')\n"
        "f(); t = threading.Thread(target=f); t.start(); t.join()"
    ),
    "a warning": "import warnings\nin_threads(lambda: None)\nwarnings.warn('careful')",
    "its name and its module": (
        "import sys; in_threads(int); print(__name__, sys.modules['__main__'].__dict__ is globals())"
    ),
    "its arguments and its path": (
        "import os, sys; in_threads(int); print(sys.argv[1:], sys.path[0] == os.getcwd())"
    ),
    "how often keys are hashed and compared": (
        "class Key:\n"
        "    calls = []\n"
        "    def __init__(self, n): self.n = n\n"
        "    def __hash__(self): Key.calls.append('hash'); return 1\n"
        "    def __eq__(self, other): Key.calls.append('eq'); return self.n == other.n\n"
        "def use():\n"
        "    d, s = {Key(1): 1}, set()\n"
        "    d[Key(2)] = 2; d[Key(1)] += 1; Key(2) in d; d.get(Key(3))\n"
        "    d.setdefault(Key(4), 0); d.pop(Key(4))\n"
        "    s.add(Key(1)); s.discard(Key(2)); del d[Key(1)]\n"
        "in_threads(int); use(); t = threading.Thread(target=use); t.start(); t.join()\n"
        "print(Key.calls)"
    ),
    "what properties and descriptors are asked": (
        "class Thing:\n"
        "    asked = 0\n"
        "    @property\n"
        "    def x(self): Thing.asked += 1; return 1\n"
        "    def __getattr__(self, name): Thing.asked += 10; return 2\n"
        "def use(): thing = Thing(); thing.x; thing.y; hasattr(thing, 'z')\n"
        "t = threading.Thread(target=use); t.start(); t.join(); print(Thing.asked)"
    ),
    "when objects die": (
        "import weakref\n"
        "class Thing:\n"
        "    def __init__(self): self.me = 1\n"
        "def use():\n"
        "    for _ in range(3):\n"
        "        thing = Thing(); ref = weakref.ref(thing); thing.me += 1; del thing; print(ref() is None)\n"
        "t = threading.Thread(target=use); t.start(); t.join()\n"
        "x = Thing(); print(weakref.getweakrefcount(x))"
    ),
    "a thread that ends after the main one": (
        "e = threading.Event()\n"
        "def late(): e.wait(); print('late')\n"
        "threading.Thread(target=late).start(); e.set()"
    ),
    "what runs at exit": "import atexit; atexit.register(print, 'at exit'); in_threads(int); print('end')",
    "an exception at exit": (
        "import atexit\ndef f(): raise KeyError('k')\natexit.register(f); in_threads(int); print('end')"
    ),
    "an executor that nobody shuts down": (
        "from concurrent.futures import ThreadPoolExecutor\n"
        "executor = ThreadPoolExecutor(2); print(executor.submit(int).result())"
    ),
    "a queue that stays empty": "import queue\nin_threads(int)\nqueue.Queue().get(timeout=0.01)",
    "a queue that is full": (
        "import queue\nin_threads(int)\nq = queue.Queue(1); q.put(1); q.put(2, block=False)"
    ),
    "a queue that is shut down, while another exception is handled": (
        "import queue\nin_threads(int)\nq = queue.Queue(); q.shutdown()\n"
        "try: 1 / 0\nexcept ZeroDivisionError: q.put(1)"
    ),
    "arguments that a method does not take": "import queue\nin_threads(int)\nqueue.Queue().put(1, colour=2)",
    "an argument that is missing": "import queue\nin_threads(int)\nqueue.Queue().put()",
    "the exception of a future": (
        "from concurrent.futures import ThreadPoolExecutor\n"
        "def f(): {}['k']\n"
        "with ThreadPoolExecutor(1) as executor: future = executor.submit(f)\n"
        "future.result()"  # that is done: the traceback of one that waits has another line
    ),
    "a lock that is not held": "in_threads(int)\nthreading.Lock().release()",
    "an exception in a lock's block": "in_threads(int)\nwith threading.RLock(): 1 / 0",
    "a semaphore released too often": "in_threads(int)\nthreading.BoundedSemaphore(1).release()",
    "an exception in a semaphore's block": "in_threads(int)\nwith threading.Semaphore(1): 1 / 0",
    "a thread that joins itself": "in_threads(int)\nthreading.current_thread().join()",
    "a run() of a subclass that raises": (
        "class Worker(threading.Thread):\n"
        "    def run(self): 1 / 0\n"
        "worker = Worker(name='w'); worker.start(); worker.join()"
    ),
    "a bare thread that raises": (
        "import _thread\n"
        "def f(n, *, m): n / m\n"
        "in_threads(int); done = threading.Event(); import sys; hook = sys.unraisablehook\n"
        "def show(raised): print(raised.object, raised.err_msg); hook(raised); done.set()\n"
        "sys.unraisablehook = show\n"
        "_thread.start_new_thread(f, (1,), {'m': 0}); done.wait()"
    ),
    "a module that cannot be imported": (
        "import importlib\nin_threads(int)\nimportlib.import_module('no_such_module')"
    ),
    "stacks in threads, callbacks and finalizers": (
        "import asyncio, sys, traceback, weakref\n"
        "from concurrent.futures import Future\n"
        "def show(*_):\n"
        "    stack = traceback.extract_stack()\n"
        "    first = max((i for i, f in enumerate(stack) if f.name == '<module>'), default=0)\n"
        "    print([f.name for f in stack[first:]])\n"
        "in_threads(int); t = threading.Thread(target=show); t.start(); t.join()\n"
        "future = Future(); future.add_done_callback(show); future.set_result(1)\n"
        "class Thing: pass\n"
        "thing = Thing(); weakref.finalize(thing, show); del thing\n"
        "async def main(): asyncio.get_running_loop().call_soon(show); await asyncio.sleep(0)\n"
        "asyncio.run(main())"
    ),
    "what its functions are": (
        "import importlib, inspect, queue, threading\n"
        "from concurrent.futures import Future\n"
        "early = queue.Queue.put; in_threads(int); print(early is queue.Queue.put)\n"
        "for f in (queue.Queue.put, threading.Event.wait, threading.Semaphore.__enter__, Future.result):\n"
        "    print(f.__module__, f.__qualname__, inspect.signature(f), type(f), f.__code__.co_filename)"
    ),
    "frames that it looks at": (
        "import sys\n"
        "def f(): print([frame.f_code.co_name for frame in (sys._getframe(), sys._getframe(1))])\n"
        "def g(): f()\n"
        "in_threads(int); g()"
    ),
    "a trace function": (
        "import sys\n"
        "seen = []\n"
        "def trace(frame, event, arg):\n"
        "    if frame.f_code.co_name == 'work': seen.append((event, frame.f_lineno)); return trace\n"
        "class Box: n = 0\n"
        "box = Box()\n"
        "def work():\n"
        "    box.n = 1\n"
        "    return [i for i in range(2)]\n"
        "in_threads(int)\n"
        "sys.settrace(trace); work(); sys.settrace(None)\n"
        "print(seen)"
    ),
    "a trace function for threads": (
        "import threading\n"
        "seen = []\n"
        "def trace(frame, event, arg):\n"
        "    if frame.f_code.co_name == 'work': seen.append(event); return trace\n"
        "def work():\n"
        "    local = {}; local['a'] = 1\n"
        "threading.settrace(trace)\n"
        "t = threading.Thread(target=work); t.start(); t.join(); print(seen)"
    ),
    "a profile function": (
        "import sys\n"
        "seen = []\n"
        "def work(): return len([1])\n"
        "in_threads(int)\n"
        "sys.setprofile(lambda frame, event, arg: seen.append(event)); work(); sys.setprofile(None)\n"
        "print(seen)"
    ),
    "another tool of sys.monitoring": (
        "import sys\n"
        "m, seen = sys.monitoring, []\n"
        "m.use_tool_id(m.COVERAGE_ID, 'cover')\n"
        "m.register_callback(m.COVERAGE_ID, m.events.LINE, lambda code, line: seen.append(line))\n"
        "class Box: n = 0\n"
        "box = Box()\n"
        "def work():\n"
        "    box.n = 1\n"
        "    return box.n\n"
        "m.set_local_events(m.COVERAGE_ID, work.__code__, m.events.LINE)\n"
        "work(); in_threads(int); work(); t = threading.Thread(target=work); t.start(); t.join()\n"
        "print(seen)"
    ),
}


def run(*command: str, cwd: Path) -> tuple[int, str, str]:
    ran = subprocess.run(
        [sys.executable, *command], cwd=cwd, capture_output=True, text=True, timeout=PATIENCE
    )
    return ran.returncode, without_addresses(ran.stdout), without_addresses(without_summary(ran.stderr))


def without_addresses(text: str) -> str:
    return re.sub(r"\b0x[0-9a-f]+\b", "0x...", text)


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS.keys())
def test_a_program_behaves_under_the_detector_as_without_it(tmp_path: Path, program: str) -> None:
    (tmp_path / "app.py").write_text(IN_THREADS + program + "\n")
    without = run("app.py", "-a", "b", cwd=tmp_path)
    assert run("-m", "threadproof", "race", "app.py", "-a", "b", cwd=tmp_path) == without


def test_a_module_and_a_piece_of_code_behave_as_without_the_detector(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(
        IN_THREADS + "in_threads(int); import sys; print(__name__, __spec__.name); 1 / 0\n"
    )
    code = IN_THREADS + "import sys; print(__name__, sys.argv)\ndef f(): 1 / 0\nf()\n"
    for chosen in (["-m", "app"], ["-m", "no_such_module"], ["-c", code]):
        assert run("-m", "threadproof", "race", *chosen, cwd=tmp_path) == run(*chosen, cwd=tmp_path)


def test_the_report_of_a_race_leaves_the_output_alone(tmp_path: Path) -> None:
    racy = IN_THREADS + "class Box: n = 0\ndef bump(): Box.n += 1\nin_threads(bump); print('out')\n"
    (tmp_path / "app.py").write_text(racy)
    code, out, error = run("-m", "threadproof", "race", "app.py", cwd=tmp_path)
    assert (code, out) == (66, "out\n")
    assert "lost-update" in error


def test_an_interrupt_is_shown_and_ends_the_process_as_without_the_detector(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(IN_THREADS + "in_threads(int); raise KeyboardInterrupt\n")
    assert run("-m", "threadproof", "race", "app.py", cwd=tmp_path) == run("app.py", cwd=tmp_path)
