"""Does at its top what counts as an access anywhere else."""

from __future__ import annotations

from tests.race.schedule import Box

options: dict[str, int] = {}
options["size"] = 3
box = Box()
box.v = 1
