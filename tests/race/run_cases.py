"""Runs every case of one file under one schedule, and prints what was found as JSON.

It has a process of its own, because the detector intercepts C methods permanently and a case may hang.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import sys
from collections.abc import Callable
from pathlib import Path

from tests.race import schedule
from threadproof.race import detect

CASES = Path(__file__).parent / "cases"
VERDICTS = ("race_", "no_race_", "missed_race_")


def cases_of(topic: str) -> dict[str, Callable[[], None]]:
    module = importlib.import_module(f"tests.race.cases.{topic}")
    return {name: case for name, case in vars(module).items() if name.startswith(VERDICTS)}


def found_by(name: str, case: Callable[[], None]) -> list[str]:
    """The broken rules. A thread may raise an exception only if its race can cause that."""
    allowed = () if name.startswith("no_race_") else (ExceptionGroup,)
    with (
        detect(include=[str(CASES)], exclude=["tests.race.schedule"]) as detection,
        contextlib.suppress(*allowed),
    ):
        case()
    return [finding.rule for finding in detection.findings]


def main(topic: str, order: str) -> None:
    schedule.choose(order)
    print(json.dumps({name: found_by(name, case) for name, case in cases_of(topic).items()}))


if __name__ == "__main__":
    main(*sys.argv[1:])
