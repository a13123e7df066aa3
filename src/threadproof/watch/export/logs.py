"""The metrics as lines of a log."""

from __future__ import annotations

import logging

from threadproof.stats import Registry, registry
from threadproof.watch.export.snapshot import take

log = logging.getLogger("threadproof.watch.metrics")


def log_metrics(
    watched: Registry = registry, logger: logging.Logger = log, level: int = logging.INFO
) -> None:
    """Log a line for each watched structure, and one for the process.

    The message is `sessions (HashMap): size=17 bytes=1024`.
    The record's attribute `metrics` is the dict, for handlers that write JSON.
    """
    snapshot = take(watched)
    for label, kind, stats in [
        *((row.label, row.kind, row.stats) for row in snapshot.rows),
        ("process", "ProcessStats", snapshot.process),
    ]:
        values = stats.as_dict()
        words = " ".join(f"{name}={value}" for name, value in values.items() if not isinstance(value, tuple))
        logger.log(level, "%s (%s): %s", label, kind, words, extra={"metrics": values})
