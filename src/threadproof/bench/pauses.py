"""The worst pause of one operation while a map grows: every operation is timed by itself.

A map that pauses to grow does so at the same number of keys in each round; other users of the machine stop a
thread anywhere, and for long. So the growth is divided into parts, and a pause counts if every round has one
in the same part, or the next.
"""

from __future__ import annotations

import gc
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from threadproof.bench.contenders import NOTHING, Contender
from threadproof.bench.isolate import ChildError, answer
from threadproof.bench.keys import make_keys
from threadproof.bench.loops import compile_loop, stored
from threadproof.bench.results import Measurement
from threadproof.bench.workers import Loop, Workers

WORST_PAUSE = "worst pause, ms"
ROUNDS = 4
PARTS = 128  # so few that a part takes 0.1 ms: longer than the jitter between two rounds

# One thread stores every key; the others read until it is done. Each records the longest time between two
# readings of the clock, for each part of the writer's keys.
BODY = """\
writes, parts, worst, at, done = keys
last = clock()
if writes:
    for part in parts:
        for k in part:
            k
            <write>
            <note>
        at[0] += 1
    done.append(True)
while not done:
    for part in parts:
        for k in part:
            k
            <get>
            <note>
            if done:
                break
"""


NOTE = """\
now = clock()
if now - last > worst[at[0]]:
    worst[at[0]] = now - last
last = now"""


def worst_pauses(
    contenders: Sequence[Contender], n: int, threads: int, rounds: int = ROUNDS
) -> list[Measurement]:
    """The worst pause of each contender while it grows to n keys, and of an empty loop."""
    return [worst_pause(contender, n, threads, rounds) for contender in (NOTHING, *contenders)]


def worst_pause(contender: Contender, n: int, threads: int, rounds: int = ROUNDS) -> Measurement:
    """The worst pause that every round had; the samples are the worst pauses of each round."""
    try:
        found = answer(growing, contender, n, threads, rounds)
    except ChildError as error:
        return Measurement(WORST_PAUSE, contender.name, n, threads, problem=str(error))
    return Measurement(
        WORST_PAUSE, contender.name, n, threads, of_every_round(found), [max(parts) for parts in found]
    )


def of_every_round(rounds: Sequence[Sequence[float]]) -> float:
    """The longest pause that every round had in the same two neighbouring parts."""
    twos = [[max(two) for two in pairwise(parts)] for parts in rounds]
    worst: float = max(min(places) for places in zip(*twos, strict=True))
    return worst


def growing(contender: Contender, n: int, threads: int, rounds: int) -> list[list[float]]:
    """For each round, the ms of the worst operation in each part, of any thread."""
    workers = Workers(threads)
    keys = workers.first(make_keys, "int", range(n))
    parts = [keys[n * part // PARTS : n * (part + 1) // PARTS] for part in range(PARTS)]
    loop = compile_loop(BODY, stored(contender.idioms, heap=False) | {"note": NOTE})
    return [one_round(workers, loop, contender, parts) for _ in range(rounds)]


def one_round(
    workers: Workers, loop: Loop, contender: Contender, parts: Sequence[Sequence[Any]]
) -> list[float]:
    m, at, done = workers.first(contender.make), [0], list[bool]()
    worsts = [[0] * (PARTS + 1) for _ in workers.executors]  # and one after the last key
    roles: list[Any] = [(thread == 0, parts, worst, at, done) for thread, worst in enumerate(worsts)]
    workers.time(loop, m, roles, sum(map(len, parts)))
    del m
    gc.collect()
    return [max(those) / 1e6 for those in zip(*worsts, strict=True)]
