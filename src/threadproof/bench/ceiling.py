"""The gain that the machine allows: how much more several processes achieve than one, sharing nothing."""

from __future__ import annotations

from time import perf_counter_ns

from threadproof.bench.contenders import DICT
from threadproof.bench.isolate import start
from threadproof.bench.keys import make_keys
from threadproof.bench.loops import timed_loop
from threadproof.bench.scenario import Scenario, Worker
from threadproof.bench.workers import pin, usable_cpus
from threadproof.bench.workloads import WORKLOADS

CEILING = "2 processes that share nothing, throughput gained over one"


def ceiling(processes: int, n: int) -> float:
    """The throughput of so many processes over that of one, each reading its own dict of n keys.

    No map that threads share can gain more on this machine.
    """
    return best_rate(processes, n) / best_rate(1, n)


def best_rate(processes: int, n: int, rounds: int = 20) -> float:
    """Reads per ns of that many processes, each on a CPU of its own; the best round."""
    return max(one_round(processes, n) for _ in range(rounds))


def one_round(processes: int, n: int) -> float:
    cpus = usable_cpus()
    begin = perf_counter_ns() + 200_000_000 + 400 * n  # by then all have made their keys
    children = [start(read_alone, cpus[number % len(cpus)], n, begin) for number in range(processes)]
    ends = [receiver.recv() for receiver, _ in children]
    for _, process in children:
        process.join()
    last: int = max(ends)
    return processes / (last - begin)


def read_alone(sender: object, cpu: int, n: int, begin: int) -> None:
    pin(cpu)
    scenario = Scenario(n=n, operations=500_000)
    stored = make_keys(scenario.kind, range(n))
    keys = WORKLOADS["read"].lists(Worker(scenario, stored, 0, 1))
    loop = timed_loop(WORKLOADS["read"], DICT, heap=False)
    m = dict.fromkeys(stored)
    while perf_counter_ns() < begin:
        pass
    loop(m, keys, None, n)  # type: ignore[arg-type]
    sender.send(perf_counter_ns())  # type: ignore[attr-defined]
