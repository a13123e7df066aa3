"""The speed and the memory of caches, beside those of other packages: the tables of docs/cache.md."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from importlib import import_module
from itertools import product
from typing import Any

from threadproof import Cache, HashMap, cached
from threadproof.bench import isolate, results, tables
from threadproof.bench.contenders import Contender, version_of
from threadproof.bench.memory import BYTES, bytes_per_entry
from threadproof.bench.plan import Step
from threadproof.bench.results import Measurement, Result, Row
from threadproof.bench.runner import Effort
from threadproof.bench.scenario import Scenario
from threadproof.bench.targets import noisy
from threadproof.bench.workloads import LOOP, End, Start, Workload, alone, mix

OURS, TABLE, FUNCTION, LRU_CACHE = "Cache", "HashMap", "@cached", "lru_cache"

HITS, CALLS, READS = "hits", "hits of a function", "m[k]"
EVICTING = "insert and evict"
WORKLOADS = (
    alone(HITS, "get of stored keys", "get"),
    mix("75/25", "75 % get, 25 % overwrite", 0.25, read="get"),
    mix("50/50", "half get, half overwrite", 0.5, read="get"),
    alone(READS, "m[k] of stored keys", "read"),
    Workload(CALLS, "a function with a cache, of stored keys", f"{LOOP}    <call>"),
)
EVICT = Workload(
    EVICTING,
    "store keys that are not there into a full cache",
    f"{LOOP}    <insert>",
    lambda worker, draw: worker.absent(worker.scenario.operations),
    start=Start.OWN,
    end=End.BOUNDED,
)
COMPARED = (HITS, "75/25", "50/50", EVICTING)

# Twenty times as many inserts as there is room: no cache still has a key when it comes again, but for the few
# that a policy holds on to. And small caches, as larger ones take longer to fill than to measure.
SIZES, INSERTS = (("int", 1_000), ("str", 10_000)), 20
THREADS = (1, 2)
PASSES = 3  # one can be disturbed
EFFORT = Effort(seconds=0.5, least=5, most=1_000)

BYTES_AT = (100_000, 130_000, 140_000, 170_000, 200_000)  # tables grow in steps: one is at 131,072


class Adapter:
    """A cache with methods instead of items; the loops call these."""

    def __init__(self, cache: Any, size: Callable[[], int]) -> None:
        self.get, self.set, self.size = cache.get, cache.set, size

    def __getitem__(self, key: Any) -> Any:
        return self.get(key)

    def __setitem__(self, key: Any, value: Any) -> None:
        self.set(key, value)

    def __len__(self) -> int:
        return self.size()


class FoundAdapter(Adapter):
    """One whose get() returns the value and whether there is one."""

    def __getitem__(self, key: Any) -> Any:
        return self.get(key)[0]


class Function:
    """A function that remembers its results, which are its arguments."""

    def __init__(self, call: Any) -> None:
        self.call = call

    def __getitem__(self, key: Any) -> Any:
        return self.call(key)

    def __setitem__(self, key: Any, value: Any) -> None:
        self.call(key)

    def __len__(self) -> int:
        size: int = self.call.cache_info().currsize
        return size


def same(key: Any) -> Any:
    return key


MAPPING = {"get": "m.get(k)", "write": "m[k] = VALUE", "insert": "m[k] = VALUE"}
OUR_MAPPING = MAPPING | {"read": "m[k]", "check": "m[k] == VALUE or wrong(k)"}
LOCKED = {name: f"with lock: {idiom}" for name, idiom in MAPPING.items()}
METHODS = {"get": "m.get(k)", "write": "m.set(k, VALUE)", "insert": "m.set(k, VALUE)"}
CALLED = {"call": "m.call(k)", "insert": "m.call(k)"}


def ours(bound: int) -> list[Contender]:
    return [
        Contender(OURS, lambda: Cache(max_size=bound), OUR_MAPPING),
        Contender(FUNCTION, lambda: Function(cached(max_size=bound)(same)), CALLED),
        Contender(TABLE, HashMap, {name: OUR_MAPPING[name] for name in ("read", "check")}),
        Contender(LRU_CACHE, lambda: Function(lru_cache(bound)(same)), CALLED),
    ]


def with_lifetime(bound: int) -> Contender:
    return Contender(
        f"{OURS}, expire_after_write", lambda: Cache(max_size=bound, expire_after_write=3600), OUR_MAPPING
    )


def cachetools(bound: int) -> Iterator[Contender]:
    module = import_module("cachetools")
    yield Contender(
        "cachetools.LRUCache + Lock", lambda: module.LRUCache(bound), LOCKED, package="cachetools"
    )


def cachebox(bound: int) -> Iterator[Contender]:
    module = import_module("cachebox")
    yield Contender("cachebox.LRUCache", lambda: module.LRUCache(bound), MAPPING, package="cachebox")
    yield Contender("cachebox.FIFOCache", lambda: module.FIFOCache(bound), MAPPING, package="cachebox")


def moka(bound: int) -> Iterator[Contender]:
    module = import_module("moka_py")

    def make() -> Adapter:
        cache = module.Moka(bound)

        def size() -> int:
            cache.run_pending_tasks()
            return int(cache.count())

        return Adapter(cache, size)

    yield Contender("moka_py.Moka", make, METHODS, package="moka-py")


def theine(bound: int) -> Iterator[Contender]:
    module = import_module("theine")

    def make() -> Adapter:
        cache = module.Cache(bound)
        return FoundAdapter(cache, cache.__len__)

    yield Contender("theine.Cache", make, METHODS, package="theine")


PACKAGES: dict[str, Callable[[int], Iterator[Contender]]] = {
    "cachetools": cachetools,
    "cachebox": cachebox,
    "moka-py": moka,
    "theine": theine,
}


def peers(bound: int) -> tuple[list[Contender], list[str]]:
    """The caches of other packages, and the names of packages that are not installed."""
    found: list[Contender] = []
    missing: list[str] = []
    for name, contenders in PACKAGES.items():
        try:
            found += contenders(bound)
        except ImportError:
            missing.append(name)
    return found, missing


def steps(trial: bool = False) -> list[Step]:
    effort, passes = (Effort(0, 1, 1), 1) if trial else (EFFORT, PASSES)
    found = []
    for (kind, n), threads in product((("int", 100),) if trial else SIZES, THREADS):
        operations = 10 * n if trial else 50_000
        scenario = Scenario(kind, heap=True, n=n, operations=operations, threads=threads)
        roomy = [*ours(2 * n), *peers(2 * n)[0]]
        full = [*ours(n), *peers(n)[0]]
        found.append(Step(isolate.Job(scenario, WORKLOADS, roomy, effort), passes))
        evicting = replace(scenario, operations=INSERTS * n)
        found.append(Step(isolate.Job(evicting, (EVICT,), full, effort), passes))
    return found


def memory(trial: bool = False) -> list[Measurement]:
    """The bytes per entry of every cache, each with room for so many."""
    found: list[Measurement] = []
    for n in (1_000,) if trial else BYTES_AT:
        first, *_ = ours(n)
        found += bytes_per_entry([first, with_lifetime(n), *peers(n)[0]], n)
    return found


# --- the page ---


def sections(result: Result) -> dict[str, str]:
    """The parts of docs/cache.md, by the names of their markers."""
    return {"speed": speed(result), "memory": memory_table(result)}


def speed(result: Result) -> str:
    where = results.where(result.machine)
    load = result.machine["load"][0]
    unit = "ns of an operation of one thread, the least of many rounds in turn"
    parts = [f"{unit}, on {where}. `~`: the machine was busy (load {load:g} at the end)."]
    for scenario, rows in by_place(result.rows).items():
        parts.append(f"**{scenario.n:,} {scenario.kind} keys, {scenario.threads_label}**\n\n{grid(rows)}")
    parts.append(claims(result.rows))
    wrong = [row for row in result.rows if not row.problem.startswith("has no")]
    parts += ["\n".join(f"- {line}" for line in tables.problems(wrong))] * bool(tables.problems(wrong))
    lost = [f"- {line}" for line in losses(result.rows)]
    parts.append("Another cache is ahead here:\n\n" + ("\n".join(lost) or "- nowhere"))
    return "\n\n".join(parts)


def by_place(rows: Iterable[Row]) -> dict[Scenario, list[Row]]:
    return tables.by_scenario(row for row in rows if not row.problem.startswith("has no"))


def grid(rows: Sequence[Row]) -> str:
    """A line for each contender: that is narrower."""
    workloads, contenders, cells = tables.grid(rows)
    shown = [name for name in (*COMPARED, READS, CALLS) if name in workloads]
    lines = [
        [contender, *(cell(cells.get((workload, contender))) for workload in shown)]
        for contender in contenders
    ]
    return tables.columns([["", *shown], *lines])


def cell(row: Row | None) -> str:
    if row is None or row.lost:
        return "" if row is None else "-" if row.problem else "?"
    return f"{'~' if row.spread > tables.NOISY else ''}{row.nanoseconds:.0f}"


def claims(rows: Sequence[Row]) -> str:
    """What a hit costs beside HashMap's m[k] and lru_cache's, and what a second thread gains."""
    lines = [
        [
            "",
            "hit / HashMap's m[k]",
            "m[k] / HashMap's m[k]",
            "@cached / lru_cache",
            "gain of m[k]",
            "HashMap's",
        ]
    ]
    for scenario, those in by_place(rows).items():
        _, _, cells = tables.grid(those)
        table, hit, read = cells[READS, TABLE], cells[HITS, OURS], cells[READS, OURS]
        function, lru = cells[CALLS, FUNCTION], cells[CALLS, LRU_CACHE]
        lines.append(
            [
                f"{scenario.n:,} {scenario.kind} keys, {scenario.threads_label}",
                quotient(hit, table),
                quotient(read, table),
                quotient(function, lru),
                gain(read),
                gain(table),
            ]
        )
    return tables.columns(lines)


def gain(row: Row) -> str:
    return f"{row.gain:.2f}" if row.scenario.threads > 1 and not row.lost and row.gain else ""


def quotient(one: Row, other: Row) -> str:
    if one.lost or other.lost:
        return "?"
    return f"{'~' if noisy(one, other) else ''}{one.nanoseconds / other.nanoseconds:.2f}"


def losses(rows: Sequence[Row]) -> Iterator[str]:
    """A line for each workload of each scenario, with the caches that are ahead of ours."""
    for scenario, those in by_place(rows).items():
        workloads, contenders, cells = tables.grid(those)
        for workload in workloads:
            ahead = []
            for contender in contenders:
                own = cells.get((workload, FUNCTION if contender == LRU_CACHE else OURS))
                row = cells.get((workload, contender))
                if contender in (OURS, FUNCTION, TABLE) or own is None or row is None or row.lost:
                    continue
                if own.lost or own.nanoseconds > row.nanoseconds:
                    ahead.append(
                        f"{contender} {row.nanoseconds:.0f} ns, {own.contender} {own.nanoseconds:.0f} ns"
                    )
            if ahead:
                where = f"{scenario.n:,} {scenario.kind} keys, {scenario.threads_label}"
                yield f"{workload}, {where}: {'; '.join(ahead)}"


def memory_table(result: Result) -> str:
    sizes = sorted({each.n for each in result.measurements if each.what == BYTES})
    lines = [["", *(f"{n:,}" for n in sizes)]]
    for contender in dict.fromkeys(each.contender for each in result.measurements):
        of = {each.n: each for each in result.measurements if each.contender == contender}
        lines.append([contender, *("-" if of[n].problem else f"{of[n].value:.0f}" for n in sizes)])
    return tables.columns(lines)


def versions() -> dict[str, str]:
    return {name: version_of(name) for name in PACKAGES}
