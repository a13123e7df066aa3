"""How long single operations take: percentiles, from a histogram, in two modes.

Closed: each thread begins an operation when the one before has ended. That is how loops work, and it hides
waiting: while a thread waits it asks for nothing. Open: operations are due at a fixed rate, whatever happens,
and an operation takes from when it was due. One pause then shows in all operations that it delayed, as it
would to the clients of a server ("coordinated omission", Gil Tene).
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from threadproof.bench import tables
from threadproof.bench.crew import Crew
from threadproof.bench.isolate import ChildError, answer
from threadproof.bench.keys import DISTRIBUTIONS, make_keys
from threadproof.bench.loops import compile_loop, stored
from threadproof.bench.pauses import NOTHING
from threadproof.bench.results import Figure
from threadproof.bench.rivals import Rival
from threadproof.bench.stage import filled
from threadproof.bench.workloads import Hand, Scene

PERCENTILES = (50.0, 90.0, 99.0, 99.9, 99.99, 100.0)
WRITES = 0.05
SUB_BITS = 7  # 128 buckets for each power of two: two digits that count
CLOSED, OPEN = "closed", "open"

BODIES = {
    CLOSED: """\
operations, note, step = keys
due = clock()
for k, w in operations:
    if w:
        <write>
    else:
        <read>
    now = clock()
    note(now - due)
    due = now
""",
    OPEN: """\
operations, note, step = keys
due = clock()
for k, w in operations:
    due += step
    while clock() < due:
        pass
    if w:
        <write>
    else:
        <read>
    note(clock() - due)
""",
}


class Histogram:
    """Counts of ns in buckets whose width is at most a hundredth of what they hold."""

    def __init__(self, values: Iterable[int] = ()) -> None:
        self.counts = Counter(map(bucket, values))

    def percentile(self, percent: float) -> int:
        """The ns that this share of all operations took at most."""
        wanted, seen = self.counts.total() * percent / 100, 0
        for upper in sorted(self.counts):
            seen += self.counts[upper]
            if seen >= wanted:
                return upper
        raise ValueError("an empty histogram has no percentiles")


def bucket(value: int) -> int:
    """The highest value that is counted together with this one."""
    shift = max(value.bit_length() - SUB_BITS, 0)
    return ((value >> shift) + 1 << shift) - 1


def latencies(rivals: Sequence[Rival], scene: Scene, rate: int) -> list[Figure]:
    """Percentiles of each rival in both modes, 95 % reads; each thread has `rate` operations due a second."""
    return [
        figure
        for mode in BODIES
        for rival in (NOTHING, *rivals)
        for figure in of_rival(rival, scene, mode, rate)
    ]


def of_rival(rival: Rival, scene: Scene, mode: str, rate: int) -> list[Figure]:
    try:
        found = answer(percentiles, rival, scene, mode, rate)
    except ChildError as error:
        return [Figure(f"{mode} loop, ns", rival.name, scene.n, scene.threads, problem=str(error))]
    return [
        Figure(f"{mode} loop, p{percent:g} ns", rival.name, scene.n, scene.threads, value)
        for percent, value in zip(PERCENTILES, found, strict=True)
    ]


def percentiles(rival: Rival, scene: Scene, mode: str, rate: int) -> list[int]:
    crew = Crew(scene.threads)
    keys = make_keys(scene.kind, range(scene.n))
    idioms = {"read": "pass", **rival.idioms}
    loop = compile_loop(BODIES[mode], stored(idioms, scene.heap))
    m = filled(rival.make, keys, scene.heap, None)
    noted: list[list[int]] = [[] for _ in crew.hands]
    roles = [
        (operations(Hand(scene, keys, thread, scene.threads)), own.append, 10**9 // rate)
        for thread, own in enumerate(noted)
    ]
    crew.time(loop, m, roles, scene.n)
    histogram = Histogram(value for own in noted for value in own)
    return [histogram.percentile(percent) for percent in PERCENTILES]


def operations(hand: Hand) -> list[tuple[Any, bool]]:
    """Keys, and whether each is to be written."""
    keys = hand.draw(DISTRIBUTIONS[hand.scene.distribution], hand.scene.operations)
    draw = random.Random(hand.thread + 3).random
    return [(key, draw() < WRITES) for key in keys]


def report(figures: Sequence[Figure]) -> str:
    """A table for each mode, size and number of threads."""
    places = dict.fromkeys(map(place, figures))
    return "\n".join(table([f for f in figures if place(f) == each], *each) for each in places)


def place(figure: Figure) -> tuple[str, int, int]:
    return figure.what.partition(",")[0], figure.n, figure.threads


def table(figures: Sequence[Figure], mode: str, n: int, threads: int) -> str:
    lines = [["ns", *(f"p{percent:g}" for percent in PERCENTILES)]]
    for rival in dict.fromkeys(figure.rival for figure in figures):
        own = [figure for figure in figures if figure.rival == rival]
        lines.append(
            [
                rival,
                *([f"{each.value:,.0f}" for each in own] if not own[0].problem else ["-"] * len(PERCENTILES)),
            ]
        )
    return f"### {mode}, 95 % reads, n={n:,}, {threads} threads\n\n{tables.columns(lines)}\n"
