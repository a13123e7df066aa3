"""Output formats, one module each: functions of a Report."""

from __future__ import annotations

from collections.abc import Callable

from threadproof.watch.contention.formats.collapsed import as_collapsed
from threadproof.watch.contention.formats.html import as_html
from threadproof.watch.contention.formats.json import as_json
from threadproof.watch.contention.formats.pprof import as_pprof
from threadproof.watch.contention.formats.table import as_table
from threadproof.watch.contention.report import Report

FILES: dict[str, Callable[[Report], bytes]] = {
    "json": lambda report: as_json(report).encode(),
    "html": lambda report: as_html(report).encode(),
    "pprof": as_pprof,
    "collapsed": lambda report: as_collapsed(report).encode(),
}

__all__ = ["FILES", "as_collapsed", "as_html", "as_json", "as_pprof", "as_table"]
