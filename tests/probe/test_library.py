"""Rows of the standard library: installed when their module is imported, and not before."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.kit.hammer import PATIENCE
from threadproof import _core

if not hasattr(_core, "race"):
    pytest.skip("the probe needs CPython 3.14", allow_module_level=True)

PRELUDE = """
import sys, threading
from threadproof.probe import subscribe
kinds = []
def note(event): kinds.append((event.kind, type(event.object).__name__))
"""


def run(program: str) -> list[str]:
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", PRELUDE + program],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert not ran.stderr
    return ran.stdout.splitlines()


def test_a_subscription_imports_nothing_for_the_sake_of_its_rows() -> None:
    program = (
        "before = set(sys.modules)\n"
        "with subscribe(publishing=note):\n"
        "    thread = threading.Thread(target=int); thread.start(); thread.join()\n"
        "print([name for name in ('asyncio', 'queue', 'concurrent.futures') if name in sys.modules])\n"
    )
    assert run(program) == ["[]"]


def test_a_module_that_is_imported_later_publishes_from_then_on() -> None:
    program = (
        "with subscribe(publishing=note, observed=note):\n"
        "    import asyncio\n"
        "    loop = asyncio.new_event_loop()\n"
        "    kinds.clear()\n"
        "    loop.call_soon(loop.stop)\n"
        "    loop.run_forever()\n"
        "    loop.close()\n"
        "print([kind for kind, owner in kinds if owner == 'Handle'])\n"
    )
    assert run(program) == ["['publishing', 'observed']"]


def test_a_module_that_is_imported_between_two_subscriptions_publishes_in_the_second() -> None:
    program = (
        "with subscribe(publishing=note): pass\n"
        "from concurrent.futures import Future\n"
        "Future().set_result(1)\n"
        "print(kinds)\n"
        "with subscribe(publishing=note): Future().set_result(1)\n"
        "print(kinds)\n"
    )
    assert run(program) == ["[]", "[('publishing', 'Future')]"]


def test_a_function_that_was_bound_before_publishes_too() -> None:
    program = (
        "event = threading.Event()\n"
        "early = event.set\n"
        "with subscribe(publishing=note): early()\n"
        "print(kinds)\n"
    )
    assert run(program) == ["[('publishing', 'Event')]"]


@pytest.mark.parametrize("call", ["future.result(0)", "future.exception(0)"])
def test_a_call_that_raises_observes_what_it_has_seen(call: str) -> None:
    program = (
        "from concurrent.futures import Future\n"
        "pending, future = Future(), Future()\n"
        "future.set_exception(KeyError())\n"
        "with subscribe(observed=note):\n"
        f"    for future in (pending, future):\n"
        f"        try: {call}\n"
        "        except (TimeoutError, KeyError): pass\n"
        "print(kinds)\n"
    )
    assert run(program) == ["[('observed', 'Future')]"]
