"""Runs workloads in one scenario: contenders in turn, round after round, with every answer checked.

All contenders run on the same machine in the same seconds. Other users of the machine can only make a run
slower, so the minimum is the result; all samples are kept.
"""

from __future__ import annotations

import gc
import random
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from threadproof.bench.contenders import Contender
from threadproof.bench.keys import make_keys
from threadproof.bench.loops import WrongAnswerError, checking_loop, empty_loop, timed_loop
from threadproof.bench.results import Row
from threadproof.bench.scenario import Scenario, Worker
from threadproof.bench.workers import Workers, immortalise
from threadproof.bench.workloads import LIVE_KEY_WINDOW, End, Start, Workload

CHECKED = 2_000  # stored keys looked up after a run: enough to notice a loss of one in a hundred
LARGE = 100_000  # keys: larger maps are collected at once when they are done, and not checked key by key


@dataclass(frozen=True)
class Effort:
    """How long to measure a workload: rounds of all contenders until each has its seconds, within limits."""

    seconds: float = 0.4  # of each contender, with the preparation of its runs
    least: int = 3
    most: int = 40


@dataclass
class Samples:
    """The ns of one workload: of each contender and number of threads, and of the empty loop."""

    times: dict[tuple[str, int], list[int]] = field(default_factory=dict)
    empty: dict[int, list[int]] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)
    spent: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))  # seconds

    def loop(self, workload: Workload, size: int) -> int:
        return min(self.empty[size]) if workload.subtract else 0


Shared = tuple[str, Callable[[], Any] | None, str]  # identifies a map: contender, type of counts, workload


class Runner:
    """The keys of a scenario, its threads, and the maps that runs share."""

    def __init__(
        self,
        scenario: Scenario,
        contenders: Sequence[Contender],
        on_attempt: Callable[[str, str], None],
        gains: bool = True,
    ) -> None:
        """`on_attempt(contender, workload)` is called before each run; `gains` measures one thread, too."""
        self.scenario, self.contenders, self.on_attempt = scenario, contenders, on_attempt
        self.workers = Workers(scenario.threads)
        self.sizes = sorted({1, scenario.threads}) if gains else [scenario.threads]
        self.stored: list[Any] = self.owned(make_keys, scenario.kind, range(scenario.n))
        if scenario.threads > 1 and scenario.identical and not scenario.heap:
            immortalise(self.stored)
        self.kept: dict[Shared, Any] = {}
        self.added: dict[Shared, int] = {}
        self.lists: dict[Any, list[Any]] = {}

    def owned(self, do: Callable[..., Any], *arguments: Any) -> Any:
        """Call it in the only thread, so that it owns what is made; with several threads, in this one."""
        return self.workers.first(do, *arguments) if self.scenario.threads == 1 else do(*arguments)

    def measure(self, workload: Workload, effort: Effort, excluded: dict[str, str]) -> list[Row]:
        """Run the workload with every contender that can; `excluded` has the others, with the reason."""
        samples = Samples()
        for contender in self.contenders:
            obstacle = contender.obstacle(workload.operations, self.scenario.threads)
            if problem := excluded.get(contender.name) or obstacle:
                samples.problems[contender.name] = problem
        if workload.kept or self.scenario.n < LARGE:  # a large new map is its own warm-up
            for contender in self.taking_part(samples):
                self.attempt(workload, contender, samples, warm_up=True)
        self.rounds(workload, effort, samples)
        for contender in self.taking_part(samples) if workload.kept else ():
            self.attempt(workload, contender, samples, verify=True)
        rows = [self.row(workload, contender, samples) for contender in self.contenders]
        self.lists.clear()
        self.kept = {key: m for key, m in self.kept.items() if not key[2]}
        return rows

    def taking_part(self, samples: Samples) -> list[Contender]:
        return [contender for contender in self.contenders if contender.name not in samples.problems]

    def rounds(self, workload: Workload, effort: Effort, samples: Samples) -> None:
        for done in range(effort.most):
            left = [
                contender
                for contender in self.taking_part(samples)
                if done < effort.least or samples.spent[contender.name] < effort.seconds
            ]
            if not left:
                return
            for size in self.sizes:
                nanoseconds = self.workers.time(empty_loop(workload), None, self.lists_for(workload, size))
                samples.empty.setdefault(size, []).append(nanoseconds)
            for contender in left[:: 1 if done % 2 else -1]:
                begun = monotonic()
                self.attempt(workload, contender, samples)
                samples.spent[contender.name] += monotonic() - begun

    def attempt(
        self,
        workload: Workload,
        contender: Contender,
        samples: Samples,
        warm_up: bool = False,
        verify: bool = False,
    ) -> None:
        """Run or verify it. An error or a wrong answer ends the contender's part in the workload."""
        self.on_attempt(contender.name, workload.name)
        try:
            if verify:
                self.owned(self.verify_kept, workload, contender, self.map_for(workload, contender))
                return
            for size in self.sizes:
                nanoseconds = self.run(workload, contender, size, warm_up)
                if not warm_up:
                    samples.times.setdefault((contender.name, size), []).append(nanoseconds)
        except WrongAnswerError as error:
            samples.problems[contender.name] = f"WRONG ANSWER: {error}"
        except Exception as error:
            samples.problems[contender.name] = f"{type(error).__name__}: {error}"
        if contender.name in samples.problems:
            self.kept = {key: m for key, m in self.kept.items() if key[0] != contender.name}

    def run(self, workload: Workload, contender: Contender, size: int, warm_up: bool) -> int:
        loop = (checking_loop if warm_up else timed_loop)(workload, contender, self.scenario.heap)
        lists = self.lists_for(workload, size)
        m = self.map_for(workload, contender)
        self.owned(self.store_live_keys, workload, m, lists)
        nanoseconds = self.workers.time(loop, m, lists, self.scenario.n)
        self.owned(self.delete_live_keys, workload, m, lists)
        self.owned(self.check, workload, contender, m, lists)
        del m
        if not workload.kept and (self.scenario.n >= LARGE or self.scenario.threads > 1):
            gc.collect()  # frees maps that two threads have used
        return nanoseconds

    def lists_for(self, workload: Workload, size: int) -> list[Any]:
        key = (workload.name, size)
        if key not in self.lists:
            each = [Worker(self.scenario, self.stored, thread, size) for thread in range(size)]
            self.lists[key] = self.workers.each(workload.lists, each)
        return self.lists[key]

    # --- maps ---

    def map_for(self, workload: Workload, contender: Contender) -> Any:
        if workload.start is Start.EMPTY:
            return self.owned(contender.make)
        key = shared(workload, contender)
        counter = key[1]
        make = contender.make_counts if counter and contender.make_counts else contender.make
        if workload.start is Start.FILLED:
            return self.owned(filled, make, self.stored, self.scenario.heap, counter)
        if key not in self.kept:
            self.kept[key] = self.owned(filled, make, self.stored, self.scenario.heap, counter)
            self.added[key] = 0
        return self.kept[key]

    def store_live_keys(self, workload: Workload, m: Any, lists: Sequence[Any]) -> None:
        """Store the keys that the first writes of each thread will delete."""
        for key in self.live_keys(workload, lists):
            m[key] = key if self.scenario.heap else None

    def delete_live_keys(self, workload: Workload, m: Any, lists: Sequence[Any]) -> None:
        """Check and delete the keys that the last writes of each thread have stored."""
        for key in self.live_keys(workload, lists):
            self.check_key(m, key)
            del m[key]

    def live_keys(self, workload: Workload, lists: Sequence[Any]) -> Iterator[Any]:
        if workload.live_key_window:
            for own in lists:
                yield from (new for _, new, _ in own[-LIVE_KEY_WINDOW:])

    # --- answers ---

    def check(self, workload: Workload, contender: Contender, m: Any, lists: Sequence[Any]) -> None:
        """Compare the map's length, and some keys at random, with the content that it must have."""
        if workload.end is End.COUNTS:
            self.added[shared(workload, contender)] += sum(workload.added(own) for own in lists)
            return
        if workload.end is End.BOUNDED:
            check_bound(m, self.scenario.n)
            return
        if workload.end is not End.SOME:
            check_length(m, 0 if workload.end is End.NOTHING else self.scenario.n)
        present = {End.NOTHING: [], End.SOME: self.stored[:: len(lists)]}.get(workload.end, self.stored)
        for key in random.sample(present, min(CHECKED, len(present))):
            self.check_key(m, key)

    def check_key(self, m: Any, key: Any) -> None:
        wanted = key if self.scenario.heap else None
        try:
            found = m[key]
        except KeyError:
            raise WrongAnswerError(f"{key!r} is not there") from None
        if found != wanted:
            raise WrongAnswerError(f"{found!r} at {key!r}")

    def verify_kept(self, workload: Workload, contender: Contender, m: Any) -> None:
        """Check every key of the map that all runs shared; of a large one, some."""
        if workload.end is End.COUNTS:
            key = shared(workload, contender)
            counted = sum(int_of(m[each]) for each in self.stored)
            if counted != self.added[key]:
                raise WrongAnswerError(f"{counted:,} counted of {self.added[key]:,}")
            return
        if workload.end is End.BOUNDED:
            check_bound(m, self.scenario.n)
            return
        check_length(m, self.scenario.n)
        for each in self.stored[:: max(self.scenario.n // LARGE, 1)]:
            self.check_key(m, each)

    def row(self, workload: Workload, contender: Contender, samples: Samples) -> Row:
        problem = samples.problems.get(contender.name, "")
        if problem:
            return Row(workload.name, contender.name, self.scenario, problem=problem)
        threads, gains = self.scenario.threads, len(self.sizes) > 1
        counts = {
            size: workload.count(self.scenario, self.lists_for(workload, size)[0]) for size in self.sizes
        }
        return Row(
            workload.name,
            contender.name,
            self.scenario,
            counts[threads],
            samples.times[contender.name, threads],
            samples.loop(workload, threads),
            samples.times[contender.name, 1] if gains else [],
            counts[1] if gains else 0,
            samples.loop(workload, 1) if gains else 0,
        )


def shared(workload: Workload, contender: Contender) -> Shared:
    """Runs with the same value share a map: a contender's, unless they count or need one of their own."""
    counter = contender.counter(workload.operations) if workload.end is End.COUNTS else None
    return contender.name, counter, workload.name if workload.start is Start.OWN else ""


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


def check_bound(m: Any, bound: int) -> None:
    if not 0 < len(m) <= bound:
        raise WrongAnswerError(f"{len(m):,} keys instead of at most {bound:,}")


def int_of(count: Any) -> int:
    """The value of a count: an int, or an object with `get`."""
    return int(count.get() if hasattr(count, "get") else count)
