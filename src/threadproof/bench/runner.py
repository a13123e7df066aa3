"""One scene set up, and its workloads run: rivals in turn, round after round, answers checked.

All rivals meet the same machine in the same seconds. Neighbours can only make a run slower: the minimum is
the figure, and the samples are kept beside it.
"""

from __future__ import annotations

import gc
import random
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from threadproof.bench.crew import Crew, immortalise
from threadproof.bench.keys import make_keys
from threadproof.bench.loops import WrongAnswerError, checking_loop, empty_loop, rival_loop
from threadproof.bench.results import Row
from threadproof.bench.rivals import Rival
from threadproof.bench.workloads import WINDOW, End, Hand, Scene, Start, Workload

LOOKS = 2_000  # stored keys looked up after a run
LARGE = 100_000  # keys from which a dead map is collected at once, and not every key is looked at


@dataclass(frozen=True)
class Effort:
    """How long to measure a workload: rounds of all rivals until each has had its seconds, within limits."""

    seconds: float = 0.4  # of each rival, with all that a run takes
    least: int = 3
    most: int = 40


@dataclass
class Samples:
    """The ns of one workload: of each rival and number of threads, and of the empty loop."""

    times: dict[tuple[str, int], list[int]] = field(default_factory=dict)
    empty: dict[int, list[int]] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)
    spent: defaultdict[str, float] = field(
        default_factory=lambda: defaultdict(float)
    )  # seconds of each rival

    def loop(self, workload: Workload, size: int) -> int:
        return min(self.empty[size]) if workload.subtract else 0


Shared = tuple[str, Callable[[], Any] | None, str]  # what tells the maps of several runs apart


class Stage:
    """The keys of a scene, its threads, and the maps that runs share."""

    def __init__(
        self, scene: Scene, rivals: Sequence[Rival], at: Callable[[str, str], None], gains: bool = True
    ) -> None:
        self.scene, self.rivals, self.at = scene, rivals, at
        self.crew = Crew(scene.threads)
        self.sizes = sorted({1, scene.threads}) if gains else [scene.threads]
        self.stored: list[Any] = self.owned(make_keys, scene.kind, range(scene.n))
        if scene.threads > 1 and scene.identical and not scene.heap:
            immortalise(self.stored)
        self.kept: dict[Shared, Any] = {}
        self.added: dict[Shared, int] = {}
        self.lists: dict[Any, list[Any]] = {}

    def owned(self, do: Callable[..., Any], *arguments: Any) -> Any:
        """Do it in the one thread, which so shares nothing with this one; but not in one of several."""
        return self.crew.first(do, *arguments) if self.scene.threads == 1 else do(*arguments)

    def measure(self, workload: Workload, effort: Effort, barred: dict[str, str]) -> list[Row]:
        """Run the workload with every rival that can take part; `barred` are those that may not, and why."""
        samples = Samples()
        for rival in self.rivals:
            obstacle = barred.get(rival.name) or rival.obstacle(workload.operations, self.scene.threads)
            samples.problems |= {rival.name: obstacle} if obstacle else {}
        if workload.kept or self.scene.n < LARGE:  # a large new map is its own warm-up
            for rival in self.playing(samples):
                self.attempt(workload, rival, samples, warm_up=True)
        self.rounds(workload, effort, samples)
        for rival in self.playing(samples) if workload.kept else ():
            self.attempt(workload, rival, samples, verify=True)
        rows = [self.row(workload, rival, samples) for rival in self.rivals]
        self.lists.clear()
        self.kept = {key: m for key, m in self.kept.items() if not key[2]}
        return rows

    def playing(self, samples: Samples) -> list[Rival]:
        return [rival for rival in self.rivals if rival.name not in samples.problems]

    def rounds(self, workload: Workload, effort: Effort, samples: Samples) -> None:
        for done in range(effort.most):
            left = [
                rival
                for rival in self.playing(samples)
                if done < effort.least or samples.spent[rival.name] < effort.seconds
            ]
            if not left:
                return
            for size in self.sizes:
                nanoseconds = self.crew.time(empty_loop(workload), None, self.lists_for(workload, size))
                samples.empty.setdefault(size, []).append(nanoseconds)
            for rival in left[:: 1 if done % 2 else -1]:
                begun = monotonic()
                self.attempt(workload, rival, samples)
                samples.spent[rival.name] += monotonic() - begun

    def attempt(
        self, workload: Workload, rival: Rival, samples: Samples, warm_up: bool = False, verify: bool = False
    ) -> None:
        """Run or verify it; what goes wrong is the rival's problem, and its part is over."""
        self.at(rival.name, workload.name)
        try:
            if verify:
                self.owned(self.verify_kept, workload, rival, self.map_for(workload, rival))
                return
            for size in self.sizes:
                nanoseconds = self.run(workload, rival, size, warm_up)
                if not warm_up:
                    samples.times.setdefault((rival.name, size), []).append(nanoseconds)
        except WrongAnswerError as error:
            samples.problems[rival.name] = f"WRONG ANSWER: {error}"
        except Exception as error:
            samples.problems[rival.name] = f"{type(error).__name__}: {error}"
        if rival.name in samples.problems:
            self.kept = {key: m for key, m in self.kept.items() if key[0] != rival.name}

    def run(self, workload: Workload, rival: Rival, size: int, warm_up: bool) -> int:
        loop = (checking_loop if warm_up else rival_loop)(workload, rival, self.scene.heap)
        lists = self.lists_for(workload, size)
        m = self.map_for(workload, rival)
        self.owned(self.open_windows, workload, m, lists)
        nanoseconds = self.crew.time(loop, m, lists, self.scene.n)
        self.owned(self.close_windows, workload, m, lists)
        self.owned(self.check, workload, rival, m, lists)
        del m
        if not workload.kept and (self.scene.n >= LARGE or self.scene.threads > 1):
            gc.collect()  # maps that two threads have used wait for it
        return nanoseconds

    def lists_for(self, workload: Workload, size: int) -> list[Any]:
        key = (workload.name, size)
        if key not in self.lists:
            hands = [Hand(self.scene, self.stored, thread, size) for thread in range(size)]
            self.lists[key] = self.crew.each(workload.lists, hands)
        return self.lists[key]

    # --- maps ---

    def map_for(self, workload: Workload, rival: Rival) -> Any:
        if workload.start is Start.EMPTY:
            return self.owned(rival.make)
        key = shared(workload, rival)
        counter = key[1]
        make = rival.make_counts if counter and rival.make_counts else rival.make
        if workload.start is Start.FILLED:
            return self.owned(filled, make, self.stored, self.scene.heap, counter)
        if key not in self.kept:
            self.kept[key] = self.owned(filled, make, self.stored, self.scene.heap, counter)
            self.added[key] = 0
        return self.kept[key]

    def open_windows(self, workload: Workload, m: Any, lists: Sequence[Any]) -> None:
        """Store the keys that the first writes of each thread will delete."""
        for key in self.in_windows(workload, lists):
            m[key] = key if self.scene.heap else None

    def close_windows(self, workload: Workload, m: Any, lists: Sequence[Any]) -> None:
        for key in self.in_windows(workload, lists):
            self.look(m, key)
            del m[key]

    def in_windows(self, workload: Workload, lists: Sequence[Any]) -> Iterator[Any]:
        if workload.windows:
            for own in lists:
                yield from (new for _, new, _ in own[-WINDOW:])

    # --- answers ---

    def check(self, workload: Workload, rival: Rival, m: Any, lists: Sequence[Any]) -> None:
        """Compare what the map holds with what it must; of many keys, a random few."""
        if workload.end is End.COUNTS:
            self.added[shared(workload, rival)] += sum(workload.added(own) for own in lists)
            return
        if workload.end is not End.SOME:
            check_length(m, 0 if workload.end is End.NOTHING else self.scene.n)
        there = {End.NOTHING: [], End.SOME: self.stored[:: len(lists)]}.get(workload.end, self.stored)
        for key in random.sample(there, min(LOOKS, len(there))):
            self.look(m, key)

    def look(self, m: Any, key: Any) -> None:
        wanted = key if self.scene.heap else None
        try:
            found = m[key]
        except KeyError:
            raise WrongAnswerError(f"{key!r} is not there") from None
        if found != wanted:
            raise WrongAnswerError(f"{found!r} at {key!r}")

    def verify_kept(self, workload: Workload, rival: Rival, m: Any) -> None:
        """Look at every key of the map that all runs shared; of a large one, at many."""
        if workload.end is End.COUNTS:
            key = shared(workload, rival)
            counted = sum(int_of(m[each]) for each in self.stored)
            if counted != self.added[key]:
                raise WrongAnswerError(f"{counted:,} counted of {self.added[key]:,}")
            return
        check_length(m, self.scene.n)
        for each in self.stored[:: max(self.scene.n // LARGE, 1)]:
            self.look(m, each)

    def row(self, workload: Workload, rival: Rival, samples: Samples) -> Row:
        problem = samples.problems.get(rival.name, "")
        if problem:
            return Row(workload.name, rival.name, self.scene, problem=problem)
        threads, gains = self.scene.threads, len(self.sizes) > 1
        counts = {size: workload.count(self.scene, self.lists_for(workload, size)[0]) for size in self.sizes}
        return Row(
            workload.name,
            rival.name,
            self.scene,
            counts[threads],
            samples.times[rival.name, threads],
            samples.loop(workload, threads),
            samples.times[rival.name, 1] if gains else [],
            counts[1] if gains else 0,
            samples.loop(workload, 1) if gains else 0,
        )


def shared(workload: Workload, rival: Rival) -> Shared:
    """Tell which runs have one map: those of a rival, but for those that count, or want one of their own."""
    counter = rival.counter(workload.operations) if workload.end is End.COUNTS else None
    return rival.name, counter, workload.name if workload.start is Start.OWN else ""


def filled(
    make: Callable[[], Any], stored: Sequence[Any], heap: bool, counter: Callable[[], Any] | None
) -> Any:
    m = make()
    for key in stored:
        m[key] = counter() if counter else key if heap else None
    return m


def check_length(m: Any, expected: int) -> None:
    if len(m) != expected:
        raise WrongAnswerError(f"{len(m):,} keys instead of {expected:,}")


def int_of(count: Any) -> int:
    """The value of a count: an int, or an object with `get`."""
    return int(count.get() if hasattr(count, "get") else count)
