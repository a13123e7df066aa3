"""The verdict is in a case's name: race_ is reported as the kind it says, no_race_ is silent, always.

missed_race_ is a known gap: its test must fail when the gap is closed. The counts are in docs/race.md.
"""

from __future__ import annotations

import json
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from tests.kit.hammer import PATIENCE
from tests.race.run_cases import CASES, cases_of
from threadproof import _core

ROOT = Path(__file__).parents[2]
SUPPORTED = hasattr(_core, "race")
TOPICS = sorted(path.stem for path in CASES.glob("[a-z]*.py"))
ORDERS = ["forward", "backward", "together", "random-1", "random-2"]
# What one process finds comes together, so that of several workers one asks for it.
ALL = [(topic, name, order) for topic in TOPICS for order in ORDERS for name in cases_of(topic)]


@cache
def found(topic: str, order: str) -> dict[str, list[str]]:
    """The findings of each case of the topic, by name."""
    command = [sys.executable, "-m", "tests.race.run_cases", topic, order]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE)
    assert ran.returncode == 0, ran.stderr
    assert not ran.stderr
    verdicts: dict[str, list[str]] = json.loads(ran.stdout)
    return verdicts


if SUPPORTED:

    @pytest.mark.parametrize(("topic", "name", "order"), ALL)
    def test_the_verdict_is_that_of_the_name(topic: str, name: str, order: str) -> None:
        reported = found(topic, order)[name]
        if name.startswith("race_"):
            rules = getattr(cases_of(topic)[name], "rules", ())
            assert set(reported) & set(rules), (
                f"reported {reported or 'nothing'}, and not {' or '.join(rules)}"
            )
        else:
            assert not reported

    def test_the_counts_that_the_documentation_gives_are_right() -> None:
        names = [name for topic in TOPICS for name in cases_of(topic)]
        counts = {
            verdict: sum(name.startswith(verdict) for name in names)
            for verdict in ("race_", "no_race_", "missed_race_")
        }
        sentence = (
            f"{counts['race_']} racy programs and {counts['no_race_']} clean ones, "
            f"and {counts['missed_race_']} races that it is known to miss"
        )
        assert sentence in " ".join((ROOT / "docs" / "race.md").read_text(encoding="utf-8").split())

else:

    def test_the_cases_are_skipped_because_the_race_detector_needs_cpython_3_14() -> None:
        pytest.skip(f"the race detector needs CPython 3.14, and this is {sys.version.split()[0]}")
