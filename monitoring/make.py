"""Write rules.yaml and dashboard.json beside this file: python monitoring/make.py."""

from __future__ import annotations

import json
from pathlib import Path

import threadproof.maps
import threadproof.sync
import threadproof.watch.monitor
from threadproof.stats import ProcessStats, Stats
from threadproof.watch.export.records import records
from threadproof.watch.mixin import dashboard, rules

FOLDER = Path(__file__).parent
HOMES = tuple(each.__name__ for each in (threadproof.maps, threadproof.sync, threadproof.watch))


def shown() -> list[type[Stats]]:
    """The records of this package: those of the process and of maps first."""
    ours = [each for each in records() if each.__module__.startswith(HOMES)]
    return [ProcessStats, *ours]


def files() -> dict[str, str]:
    """{name: text}."""
    return {"rules.yaml": rules(), "dashboard.json": json.dumps(dashboard(shown()), indent=1) + "\n"}


if __name__ == "__main__":
    for name, text in files().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
