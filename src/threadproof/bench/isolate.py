"""Every scene runs in a process of its own: a rival that crashes or hangs is a result and not an end."""

from __future__ import annotations

import gc
import multiprocessing
import signal
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from threadproof.bench.results import Row
from threadproof.bench.rivals import Rival
from threadproof.bench.stage import Effort, Stage
from threadproof.bench.workloads import Scene, Workload

PATIENCE = 180.0  # seconds without a sign of life; filling a map with a million keys takes a tenth of that
Bars = dict[tuple[str, str], str]  # rival and workload -> why the one may not run the other


@dataclass(frozen=True)
class Job:
    """Workloads to run in one scene with rivals in turn."""

    scene: Scene
    workloads: Sequence[Workload]
    rivals: Sequence[Rival]
    effort: Effort
    gains: bool = True  # whether to measure one of the threads alone, too


def measure(job: Job) -> Iterator[Row]:
    """Yield the rows, workload by workload; who crashes gets one that says so, and the others run again."""
    bars: Bars = {}
    waiting = list(job.workloads)
    while waiting:
        ended = yield from one_process(job, waiting, bars)
        if ended is None:
            return
        rival, workload, how = ended
        if (rival, workload) in bars:
            raise RuntimeError(f"{workload} {how} without {rival}, which it was put down to")
        bars[rival, workload] = how


def one_process(
    job: Job, waiting: list[Workload], bars: Bars
) -> Generator[Row, None, tuple[str, str, str] | None]:
    """Run what waits, and take it off the list when its rows have come; return whose fault the end was."""
    receiver, process = start(work, job, tuple(waiting), bars)
    rival = workload = ""
    while True:
        try:
            if not receiver.poll(PATIENCE):
                process.kill()
                process.join()
                return rival, workload, f"hung for {PATIENCE:.0f} s"
            what, *rest = receiver.recv()
        except EOFError:
            process.join()
            return None if not process.exitcode else (rival, workload, exit_text(process.exitcode))
        if what == "at":
            rival, workload = rest
        else:
            del waiting[0]
            yield from rest[0]


class ChildError(Exception):
    """The process that was to answer has ended without an answer; the message says how."""


def answer(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call the function in a process of its own and return its result; ChildError when there is none."""
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
    """Start a process that sends to the connection returned; forked where that can be, which is quickest."""
    methods = multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("fork" if "fork" in methods else None)
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=target, args=(sender, *arguments), daemon=True)
    process.start()
    sender.close()
    return receiver, process


def work(sender: Connection, job: Job, workloads: Sequence[Workload], bars: Bars) -> None:
    gc.disable()
    stage = Stage(
        job.scene, job.rivals, lambda rival, workload: sender.send(("at", rival, workload)), job.gains
    )
    for workload in workloads:
        barred = {rival: how for (rival, name), how in bars.items() if name == workload.name}
        sender.send(("rows", stage.measure(workload, job.effort, barred)))
    stage.crew.leave()


def exit_text(code: int) -> str:
    return f"crashed: {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
