"""threadproof's own structures publish for themselves, whenever they were imported."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from tests.kit.hammer import PATIENCE
from threadproof import _core
from threadproof.probe import subscribe
from threadproof.sync import Once, Pool

if not hasattr(_core, "race"):
    pytest.skip("the probe needs CPython 3.14", allow_module_level=True)


def kinds(*wanted: str, of: object, during: Any) -> list[str]:
    """The kinds of the events of one object."""
    events: list[Any] = []
    with subscribe(scope=None, **dict.fromkeys(wanted, events.append)):
        during()
    return [event.kind for event in events if event.object is of]


def test_once_publishes_what_its_function_did_to_all_that_have_its_result() -> None:
    once = Once[int]()

    def use() -> None:
        assert not once.done
        once.run(int)
        once.run(int)
        assert once.done

    assert kinds("publishing", "observed", of=once, during=use) == ["publishing", *["observed"] * 3]


def test_a_pool_sends_objects_from_thread_to_thread() -> None:
    pool = Pool(list[int], keep_local=1)

    def use() -> None:
        one, other = pool.get(), pool.get()
        pool.put(one)
        pool.put(other)  # the first one leaves this thread's cache
        pool.get()
        pool.get()

    assert kinds("sending", "received", of=pool, during=use) == ["sending", "received"]


def test_a_flag_says_whether_anybody_listens() -> None:
    assert not _core.probe.listening
    with subscribe(publishing=lambda event: None):
        assert _core.probe.listening
        with subscribe(acquired=lambda event: None):
            assert _core.probe.listening
    assert not _core.probe.listening


def test_a_structure_that_is_imported_while_threads_run_orders_them() -> None:
    program = (
        "import os, sys, threading\n"
        "from threadproof.race import detect\n"
        "reader, writer = os.pipe()\n"  # makes the second wait, and orders nothing
        "class Box: value = 0\n"
        "box, made = Box(), []\n"
        "def make(): box.value = 1; return box\n"
        "def first():\n"
        "    from threadproof.sync import Once\n"
        "    made.append(Once())\n"
        "    made[0].run(make)\n"
        "    os.write(writer, b'!')\n"
        "def second():\n"
        "    os.read(reader, 1)\n"
        "    made[0].run(make).value\n"
        "with detect(include=['<string>']) as detection:\n"
        "    threads = [threading.Thread(target=function) for function in (first, second)]\n"
        "    print('threadproof.sync' in sys.modules)\n"
        "    for thread in threads: thread.start()\n"
        "    for thread in threads: thread.join()\n"
        "print([found.subject for found in detection.findings if found.subject.startswith('Box')])\n"
    )
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, timeout=PATIENCE
    )
    assert (ran.stdout, ran.stderr) == ("False\n[]\n", "")
