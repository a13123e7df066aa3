"""The explorer as a tool that reports findings."""

from __future__ import annotations

from importlib.metadata import version

from threadproof.explore.api import Exploration
from threadproof.explore.options import OPTIONS
from threadproof.findings import Finding, Rule, Severity
from threadproof.findings.model import Place, Step
from threadproof.findings.tool import Tool

FAILING_SCHEDULE = Rule(
    "failing-schedule",
    Severity.ERROR,
    "{test} fails under a schedule of {preemptions} preemptions: {error}",
    "hold one lock from the first step of the story that depends on another thread to the last",
    "The test passes under some orders of its threads' steps, and fails under this one. Any machine may "
    "choose this order on any day.",
    tags=("CWE-362",),
)
DEADLOCK = Rule(
    "deadlock",
    Severity.ERROR,
    "{test} never ends under a schedule of {preemptions} preemptions: {error}",
    "acquire locks in one order everywhere, and wait for a condition in a loop that tests it, under its lock",
    "All threads wait, each for a step of another one.",
    tags=("CWE-833",),
)
LIVELOCK = Rule(
    "livelock",
    Severity.ERROR,
    "{test} does not end under a schedule of {preemptions} preemptions: {error}",
    "wait for what has to happen by a Condition or an Event, or use a smaller input",
    "A run takes more steps than --steps allows. Either a loop waits for what no thread will do, or the test "
    "is too long to be explored.",
    tags=("CWE-835",),
)
NOT_REPEATABLE = Rule(
    "not-repeatable",
    Severity.WARNING,
    "{error}",
    "make objects anew in each call of the test, and let nothing random decide what its threads do",
    "A schedule is explored by repeating its beginning. A test that takes other steps each time cannot be "
    "explored, and no token repeats it.",
)

RULES = (FAILING_SCHEDULE, DEADLOCK, LIVELOCK, NOT_REPEATABLE)
BY_KIND = {"raised": FAILING_SCHEDULE, "deadlock": DEADLOCK, "too long": LIVELOCK}

EXPLORER = Tool(OPTIONS, RULES, version("threadproof"))


def findings_of(found: Exploration, place: Place) -> list[Finding]:
    """At most one failure, and whether the test could be repeated; `place` is the test's own."""
    findings = []
    if found.failure:
        rule = BY_KIND[found.failure.kind]
        error = "; ".join(found.waits()) or found.headline()
        findings.append(
            rule.finding(
                found.place() if found.place().line else place,
                subject=found.name,
                steps=steps_of(found),
                why=f"replay: {found.command}{found.token}",
                identity=f"{rule.name} {found.name} {type(found.failure.error).__name__}",
                test=found.name,
                preemptions=found.preemptions,
                error=error,
            )
        )
    if found.diverged:
        findings.append(NOT_REPEATABLE.finding(place, subject=found.name, error=found.diverged))
    return findings


def steps_of(found: Exploration) -> list[Step]:
    """The story; its last lines, or the threads that wait, are the mistake itself."""
    assert found.failure
    story = [
        Step(f"{line.thread} {line.what}", [line.place], main=False, thread=line.thread)
        for line in found.story
    ]
    waits = [
        Step(text, each.stack, thread=found.names.get(each.thread, ""))
        for text, each in zip(found.waits(), found.failure.waiting, strict=True)
    ]
    return [*story, *waits]
