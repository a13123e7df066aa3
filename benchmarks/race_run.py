"""Runs one program in this process, watched in one way or not at all; prints time and memory as JSON.

    RACE_RUN="WAY,PROGRAM,REPEATS" python benchmarks/race_run.py

WAY is a key of WAYS; PROGRAM is a module of benchmarks/race_programs. Each run needs a new process, because
an intercepted method stays so. benchmarks/race.py calls this, also through other detectors. One of them
passes no arguments on, so they are in the environment; another inserts code before the first line, so there
can be no import from __future__.
"""

import importlib
import json
import os
import resource
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

PROGRAMS = Path(__file__).parent / "race_programs"
LIBRARIES = ["mistune", "sqlglot"]  # the packages that two of the programs run


@contextmanager
def second_thread() -> Iterator[None]:
    """While a second thread is alive, even if it waits, races are possible."""
    done = threading.Event()
    thread = threading.Thread(target=done.wait)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def watched(sample: bool = False) -> AbstractContextManager[object]:
    from threadproof.race import detect

    return detect(include=[*LIBRARIES, str(PROGRAMS)], sample=sample)


@contextmanager
def both(first: AbstractContextManager[object], second: AbstractContextManager[object]) -> Iterator[None]:
    with first, second:
        yield


# The context of a run, by the name of the way.
WAYS: dict[str, Callable[[], AbstractContextManager[object]]] = {
    "one thread": nullcontext,
    "before the first start": watched,
    "two threads": second_thread,
    "watched": lambda: both(watched(), second_thread()),
    "sampled": lambda: both(watched(sample=True), second_thread()),
}


def measure(way: str, program: str, repeats: int) -> dict[str, object]:
    sys.path.insert(0, str(PROGRAMS))
    main = importlib.import_module(program).main
    answers, seconds = set(), []
    with WAYS[way]():
        for _ in range(repeats):
            start = time.process_time()
            answers.add(repr(main()))
            seconds.append(time.process_time() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"answers": sorted(answers), "seconds": seconds, "kilobytes": peak}


if __name__ == "__main__":
    way, program, repeats = os.environ["RACE_RUN"].split(",")
    print(json.dumps(measure(way, program, int(repeats))))
