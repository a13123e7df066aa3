"""Runs each scenario in a process of its own, so that a contender that crashes or hangs ends nothing else."""

from __future__ import annotations

import gc
import multiprocessing
import signal
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from threadproof.bench.contenders import Contender
from threadproof.bench.results import Row
from threadproof.bench.runner import Effort, Runner
from threadproof.bench.scenario import Scenario
from threadproof.bench.workloads import Workload

PATIENCE = 180.0  # seconds without a message: ten times as long as filling a map with a million keys takes
Exclusions = dict[tuple[str, str], str]  # contender and workload -> why the contender does not run it


@dataclass(frozen=True)
class Job:
    """Workloads to run in one scenario, with contenders in turn."""

    scenario: Scenario
    workloads: Sequence[Workload]
    contenders: Sequence[Contender]
    effort: Effort
    gains: bool = True  # whether one thread is measured as well, for the gain of several


def measure(job: Job) -> Iterator[Row]:
    """Yield the rows. A contender that crashes has a row with a problem, and the others run again."""
    exclusions: Exclusions = {}
    waiting = list(job.workloads)
    while waiting:
        ended = yield from one_process(job, waiting, exclusions)
        if ended is None:
            return
        contender, workload, how = ended
        if (contender, workload) in exclusions:
            raise RuntimeError(f"{workload} {how} also without {contender}, which was excluded for that")
        exclusions[contender, workload] = how


def one_process(
    job: Job, waiting: list[Workload], exclusions: Exclusions
) -> Generator[Row, None, tuple[str, str, str] | None]:
    """Run the waiting workloads and remove those done; return what was running if the process ended."""
    receiver, process = start(work, job, tuple(waiting), exclusions)
    contender = workload = ""
    while True:
        try:
            if not receiver.poll(PATIENCE):
                process.kill()
                process.join()
                return contender, workload, f"hung for {PATIENCE:.0f} s"
            what, *rest = receiver.recv()
        except EOFError:
            process.join()
            return None if not process.exitcode else (contender, workload, exit_text(process.exitcode))
        if what == "at":
            contender, workload = rest
        else:
            del waiting[0]
            yield from rest[0]


class ChildError(Exception):
    """The process ended without a result; the message has the reason."""


def answer(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call the function in a process of its own and return its result; ChildError if there is none."""
    receiver, process = start(send_answer, function, *arguments)
    try:
        if not receiver.poll(PATIENCE):
            process.kill()
            raise ChildError(f"hung for {PATIENCE:.0f} s")
        result, problem = receiver.recv()
    except EOFError:
        process.join()
        raise ChildError(exit_text(process.exitcode)) from None
    process.join()
    if problem:
        raise ChildError(problem)
    return result


def send_answer(sender: Connection, function: Callable[..., Any], *arguments: Any) -> None:
    gc.disable()
    try:
        sender.send((function(*arguments), ""))
    except Exception as error:
        sender.send((None, f"{type(error).__name__}: {error}"))


def start(target: Callable[..., None], *arguments: Any) -> tuple[Connection, Any]:
    """Start a process that sends to the connection returned; by fork if there is one, as that is fastest."""
    methods = multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("fork" if "fork" in methods else None)
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=target, args=(sender, *arguments), daemon=True)
    process.start()
    sender.close()
    return receiver, process


def work(sender: Connection, job: Job, workloads: Sequence[Workload], exclusions: Exclusions) -> None:
    gc.disable()

    def on_attempt(contender: str, workload: str) -> None:
        sender.send(("at", contender, workload))

    runner = Runner(job.scenario, job.contenders, on_attempt, job.gains)
    for workload in workloads:
        excluded = {contender: how for (contender, name), how in exclusions.items() if name == workload.name}
        sender.send(("rows", runner.measure(workload, job.effort, excluded)))
    runner.workers.stop()


def exit_text(code: int) -> str:
    return f"crashed: {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
