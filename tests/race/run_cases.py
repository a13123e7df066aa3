"""Runs every case of one file under one schedule, and prints what was found as JSON.

A process of its own, for the detector hooks C methods for good, and for a case that hangs.
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
    """The rules that were broken; a thread may raise what its race leads to, and only there."""
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
