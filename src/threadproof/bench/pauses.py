"""The worst that can happen to one operation while a map grows: every operation is timed by itself.

The least of several rounds counts, since a neighbour on the machine can only make the worst worse.
"""

from __future__ import annotations

import gc
from collections.abc import Sequence
from typing import Any

from threadproof.bench.crew import Crew, Loop
from threadproof.bench.isolate import ChildError, answer
from threadproof.bench.keys import make_keys
from threadproof.bench.loops import compile_loop, stored
from threadproof.bench.results import Figure
from threadproof.bench.rivals import Rival

WORST_PAUSE = "worst pause, ms"
ROUNDS = 4
NOTHING = Rival(
    "nothing at all", dict, {"write": "pass", "get": "pass"}
)  # what the machine itself does to a loop

# One thread stores every key; the others read until it is done. Each keeps the longest time between two
# readings of the clock.
BODY = """\
writes, mine, worst, done = keys
last = clock()
if writes:
    for k in mine:
        k
        <write>
        <note>
    done.append(True)
while not done:
    for k in mine:
        k
        <get>
        <note>
        if done:
            break
"""


NOTE = """\
now = clock()
if now - last > worst[0]:
    worst[0] = now - last
last = now"""


def worst_pauses(rivals: Sequence[Rival], n: int, threads: int, rounds: int = ROUNDS) -> list[Figure]:
    """The worst pause of each rival on the way from empty to n keys, and of a loop that does nothing."""
    return [worst_pause(rival, n, threads, rounds) for rival in (NOTHING, *rivals)]


def worst_pause(rival: Rival, n: int, threads: int, rounds: int = ROUNDS) -> Figure:
    try:
        samples = answer(growing, rival, n, threads, rounds)
    except ChildError as error:
        return Figure(WORST_PAUSE, rival.name, n, threads, problem=str(error))
    return Figure(WORST_PAUSE, rival.name, n, threads, min(samples), samples)


def growing(rival: Rival, n: int, threads: int, rounds: int) -> list[float]:
    """Return the ms of each round's worst operation, by whichever thread."""
    crew = Crew(threads)
    keys = crew.first(make_keys, "int", range(n))
    loop = compile_loop(BODY, stored(rival.idioms, heap=False) | {"note": NOTE})
    return [one_round(crew, loop, rival, keys) for _ in range(rounds)]


def one_round(crew: Crew, loop: Loop, rival: Rival, keys: Sequence[Any]) -> float:
    m, worst, done = crew.first(rival.make), [0], list[bool]()
    roles: list[Any] = [(thread == 0, keys, worst, done) for thread in range(len(crew.hands))]
    crew.time(loop, m, roles, len(keys))
    del m
    gc.collect()
    return worst[0] / 1e6
