"""The report as text, for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from threadproof.findings.model import Place
from threadproof.watch.contention.record import place_in_program
from threadproof.watch.contention.report import IDLE, Contended, PathOf, Report

MOST = 10  # objects of a section, and threads; the other formats have all
PATHS = 3  # of an object
WAITS = 5  # single waits


def as_table(report: Report) -> str:
    """Sections for locks, steps, threads and the longest waits; a line is as long as its places."""
    return "\n".join([*headline(report), *sections(report)])


def headline(report: Report) -> Iterator[str]:
    locks = sum(each.delay for each in report.locks)
    life = sum(each.life for each in report.threads)
    share = locks / life if life else 0.0
    yield (
        f"contention: {len(report.threads)} threads in {duration(report.duration)}; "
        f"for locks they waited {duration(locks)}, {share:.1%} of their time"
    )


def sections(report: Report) -> Iterator[str]:
    if not report.locks:
        yield "no lock was contended"
    yield from section("locks", report.locks)
    yield from section("waits for another thread's step", [e for e in report.steps if e.kind != IDLE])
    yield from changing(report)
    yield from threads(report)
    yield from longest(report)
    for sentence in report.not_seen:
        yield f"not seen: {sentence}"


def section(title: str, objects: Sequence[Contended]) -> Iterator[str]:
    if not objects:
        return
    yield ""
    yield f"{title}:"
    yield f"  {'waited':>9} {'waits':>8} {'longest':>9}"
    for each in objects[:MOST]:
        most = "" if each.sampled else duration(each.most)
        yield f"  {duration(each.delay):>9} {each.count:>8} {most:>9}  {each.title}{made(each)}"
        for path in each.paths[:PATHS]:
            yield from lines_of(path)
    if len(objects) > MOST:
        yield f"  and {len(objects) - MOST} more"


def changing(report: Report) -> Iterator[str]:
    if not report.changing:
        return
    yield ""
    yield "reference counts that several threads change at once (an estimate):"
    yield f"  {'seen':>9} {'changes':>8}"
    for each in report.changing[:MOST]:
        places = dict.fromkeys(where(place_in_program(stack)) for stack in each.stacks)
        at = "; ".join([*places][:PATHS])
        yield f"  {each.samples:>9} {each.rate:>5.1f}/us  {each.kind} {each.name}, at {at}"


def made(each: Contended) -> str:
    place = f" made at {each.created}" if each.created else ""
    about = ", sampled" if each.sampled else ""
    return about + place + (f" ({each.objects} of them)" if each.objects > 1 else "")


def lines_of(path: PathOf) -> Iterator[str]:
    sums = f"  {duration(path.delay):>9} {path.count or '':>8} {'':>9}"
    yield f"{sums}    at {where(path.waiter)}{names(path.threads)}"
    if path.holder_place or path.holder_threads:
        yield f"  {'':>28}    for {where(path.holder_place)}{names(path.holder_threads)}"


def where(place: Place | None) -> str:
    return f"{place} in {place.function}" if place else "?"


def names(threads: dict[str, int]) -> str:
    """Of the threads with the largest parts."""
    largest = sorted(threads, key=lambda name: -threads[name])
    more = f" and {len(largest) - 2} more" if len(largest) > 2 else ""
    return f" ({', '.join(largest[:2])}{more})" if largest else ""


def threads(report: Report) -> Iterator[str]:
    waiting = [each for each in report.threads if each.locks or each.steps]
    if not waiting:
        return
    yield ""
    yield "threads:"
    yield f"  {'locks':>6} {'steps':>6} {'idle':>6}"
    for each in waiting[:MOST]:
        parts = (each.locks, each.steps, each.idle)
        shares = " ".join(f"{part / each.life if each.life else 0:>6.1%}" for part in parts)
        yield f"  {shares}  {each.name}, of {duration(each.life)}"
    if len(waiting) > MOST:
        yield f"  and {len(waiting) - MOST} more"


def longest(report: Report) -> Iterator[str]:
    if not report.longest:
        return
    yield ""
    yield "longest waits:"
    yield f"  {'at':>9} {'waited':>9}"
    for wait in report.longest[:WAITS]:
        begin = duration(wait.begin - report.record.begin)
        outcome = "" if wait.outcome == "got" else f" ({wait.outcome})"
        holder = report.name_of_thread(wait.holder_thread)
        by = f" for {holder}" if holder else ""
        thread, title = report.name_of_thread(wait.thread), report.title_of(wait.awaited)
        yield f"  {begin:>9} {duration(wait.delay):>9}  {thread} at {title}{by}{outcome}"


def duration(nanoseconds: float) -> str:
    """With three figures, such as 1.23 ms."""
    for unit, size in (("s", 1e9), ("ms", 1e6), ("us", 1e3)):
        if abs(nanoseconds) >= size:
            value = nanoseconds / size
            return f"{value:.3g} {unit}" if value < 1000 else f"{value:.0f} {unit}"
    return f"{nanoseconds:.0f} ns"
