"""A service that runs for ever under the detector: what the detector keeps does not grow with the events."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kit.hammer import PATIENCE
from threadproof import _core

SUPPORTED = hasattr(_core, "race")
PROGRAM = """
import gc, json, queue, threading
from concurrent.futures import ThreadPoolExecutor
from threadproof import HashMap, _core
from threadproof.race import detect
from threadproof.sync import AtomicInt

class Thing:
    def __init__(self, number):
        self.number = number

shared, guard, items, line = Thing(0), threading.Lock(), queue.Queue(), []

def touch():
    with guard:
        shared.number += 1

def thread():
    started = threading.Thread(target=touch)
    started.start()
    started.join()

def lock():
    with threading.Lock():
        touch()

def item():
    items.put(Thing(1))
    items.get().number += 1
    line.append(Thing(1))
    line.pop().number += 1

def structures():
    table, number = HashMap(), AtomicInt()
    table[1] = 1
    table[1] += 1
    number.store(number.load() + 1)

def many(event):
    for _ in range(300):
        event()
    gc.collect()

with detect(include=[__file__]), ThreadPoolExecutor(1) as pool:
    pool.submit(touch).result()
    for event in (thread, lock, item, structures, lambda: pool.submit(touch).result()):
        many(event)
        before = _core.race.counts()
        many(event)
        after = _core.race.counts()
        print(json.dumps([before, after]))
_core.race.check()
"""
BOUNDED = {"names"}  # of the last 4,096 threads

if SUPPORTED:

    def test_what_the_detector_keeps_does_not_grow_with_the_events(tmp_path: Path) -> None:
        program = tmp_path / "service.py"
        program.write_text(PROGRAM, encoding="utf-8")
        done = subprocess.run(
            [sys.executable, str(program)], capture_output=True, text=True, timeout=PATIENCE, check=False
        )
        assert done.returncode == 0, done.stderr
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        assert len(lines) == 5
        for before, after in lines:
            grown = {name for name in after if after[name] > before[name] + 20}
            assert grown <= BOUNDED, (before, after)

else:

    def test_growth_is_skipped_because_the_race_detector_needs_cpython_3_14() -> None:
        pytest.skip(f"the race detector needs CPython 3.14, and this is {sys.version.split()[0]}")
