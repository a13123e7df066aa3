"""Timed loops: a workload's body with a contender's idioms in it, compiled, as timeit does.

A function call for each operation would cost more than the operation.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from functools import cache
from itertools import islice
from textwrap import indent
from time import perf_counter_ns
from typing import Any, NoReturn

from threadproof.bench.contenders import Contender
from threadproof.bench.workers import Loop
from threadproof.bench.workloads import End, Workload

LINE = re.compile(r"^( *)<(\w+)>$", re.MULTILINE)


class WrongAnswerError(Exception):
    """A map does not hold what the run has stored, so its times mean nothing."""


@cache
def timed_loop(workload: Workload, contender: Contender, heap: bool) -> Loop:
    return compile_loop(workload.body, stored(contender.idioms, heap))


@cache
def checking_loop(workload: Workload, contender: Contender, heap: bool) -> Loop:
    """The same loop, in which every value read is compared with the one stored at its key."""
    idioms = stored(contender.idioms, heap)
    if "read" in workload.operations and workload.end is not End.COUNTS:
        idioms["read"] = idioms["check"]
    return compile_loop(workload.body, idioms)


@cache
def empty_loop(workload: Workload) -> Loop:
    """The same loop without the operations."""
    return compile_loop(workload.body, dict.fromkeys(workload.operations, "pass"))


def stored(idioms: Mapping[str, str], heap: bool) -> dict[str, str]:
    """The idioms with the values filled in: the key itself, whose references are counted, or None."""
    value, values = ("k", "ks") if heap else ("None", "[None] * len(ks)")
    return {name: idiom.replace("VALUES", values).replace("VALUE", value) for name, idiom in idioms.items()}


def compile_loop(body: str, idioms: Mapping[str, str]) -> Loop:
    lines = LINE.sub(lambda place: indent(idioms[place[2]], place[1]), body)
    namespace: dict[str, Any] = {
        "Counter": Counter,
        "clock": perf_counter_ns,
        "islice": islice,
        "wrong": wrong,
    }
    exec("def loop(m, keys, lock, n):\n" + indent(lines, "    "), namespace)
    loop: Loop = namespace["loop"]
    return loop


def wrong(key: object) -> NoReturn:
    raise WrongAnswerError(f"another value than was stored at {key!r}")
