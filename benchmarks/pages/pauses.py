"""The worst that can happen to one operation while a map grows: every operation is timed by itself.

A map that stops to grow does so at the same number of keys each time, but a neighbour on the machine may stop
a thread anywhere, and for long. So the way is cut into parts, and a pause counts if it comes in every round
in the same part, or the next.
"""

from __future__ import annotations

import gc
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from threadproof.bench.crew import Crew, Loop
from threadproof.bench.isolate import ChildError, answer
from threadproof.bench.keys import make_keys
from threadproof.bench.loops import compile_loop, stored
from threadproof.bench.results import Figure
from threadproof.bench.rivals import Rival

WORST_PAUSE = "worst pause, ms"
ROUNDS = 4
PARTS = 128  # few enough that a part takes 0.1 ms and more, which nobody misses by chance in all rounds
NOTHING = Rival(
    "nothing at all", dict, {"write": "pass", "get": "pass"}
)  # what the machine itself does to a loop

# One thread stores every key; the others read until it is done. Each keeps the longest time between two
# readings of the clock, for each part of the writer's way.
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


def worst_pauses(rivals: Sequence[Rival], n: int, threads: int, rounds: int = ROUNDS) -> list[Figure]:
    """The worst pause of each rival on the way from empty to n keys, and of a loop that does nothing."""
    return [worst_pause(rival, n, threads, rounds) for rival in (NOTHING, *rivals)]


def worst_pause(rival: Rival, n: int, threads: int, rounds: int = ROUNDS) -> Figure:
    """The worst pause that each round had, and as samples the worst of each round."""
    try:
        found = answer(growing, rival, n, threads, rounds)
    except ChildError as error:
        return Figure(WORST_PAUSE, rival.name, n, threads, problem=str(error))
    return Figure(WORST_PAUSE, rival.name, n, threads, of_every_round(found), [max(parts) for parts in found])


def of_every_round(rounds: Sequence[Sequence[float]]) -> float:
    """The longest pause that came in every round in the same two parts."""
    twos = [[max(two) for two in pairwise(parts)] for parts in rounds]
    worst: float = max(min(places) for places in zip(*twos, strict=True))
    return worst


def growing(rival: Rival, n: int, threads: int, rounds: int) -> list[list[float]]:
    """Return the ms of each round's worst operation in each part of the way, by whichever thread."""
    crew = Crew(threads)
    keys = crew.first(make_keys, "int", range(n))
    parts = [keys[n * part // PARTS : n * (part + 1) // PARTS] for part in range(PARTS)]
    loop = compile_loop(BODY, stored(rival.idioms, heap=False) | {"note": NOTE})
    return [one_round(crew, loop, rival, parts) for _ in range(rounds)]


def one_round(crew: Crew, loop: Loop, rival: Rival, parts: Sequence[Sequence[Any]]) -> list[float]:
    m, at, done = crew.first(rival.make), [0], list[bool]()
    worsts = [[0] * (PARTS + 1) for _ in crew.hands]  # and one for what the others meet when all is stored
    roles: list[Any] = [(thread == 0, parts, worst, at, done) for thread, worst in enumerate(worsts)]
    crew.time(loop, m, roles, sum(map(len, parts)))
    del m
    gc.collect()
    return [max(those) / 1e6 for those in zip(*worsts, strict=True)]
