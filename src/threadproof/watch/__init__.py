"""Watching a program in production: health checks, metrics, a small server.

    from threadproof.stats import watch
    from threadproof.watch import Monitor, check, serve

    sessions = watch("sessions", HashMap())
    monitor = Monitor(interval=10, on_finding=report).start()

    checks       what can be wrong with a structure: one module for each, whose docstring is its runbook
    window       Window, the samples that a check reads
    engine       from samples to verdicts, with hysteresis
    monitor      Monitor, the thread that does it all the time
    allocations  which lines allocate what a growing map holds
    key_sampling which keys of a map are used most
    export       Prometheus, OpenTelemetry, JSON, logs
    web          serve(), and applications for WSGI and ASGI

Everything reads stats(), which costs a structure's operations nothing. A name is imported when it is first
asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from threadproof.watch.allocations import AllocationSite, allocation_sites
    from threadproof.watch.checks import CHECKS, Check, Limits, Reading
    from threadproof.watch.engine import Verdict
    from threadproof.watch.key_sampling import HotKeys, hot_keys
    from threadproof.watch.monitor import Monitor, MonitorStats
    from threadproof.watch.once import check
    from threadproof.watch.web.asgi import ASGIApp
    from threadproof.watch.web.server import Server, serve
    from threadproof.watch.web.wsgi import WSGIApp
    from threadproof.watch.window import Sample, Window

HOMES = {
    "ASGIApp": "web.asgi",
    "Server": "web.server",
    "WSGIApp": "web.wsgi",
    "serve": "web.server",
    "AllocationSite": "allocations",
    "CHECKS": "checks",
    "Check": "checks",
    "HotKeys": "key_sampling",
    "Limits": "checks",
    "Monitor": "monitor",
    "MonitorStats": "monitor",
    "Reading": "checks",
    "Sample": "window",
    "Verdict": "engine",
    "Window": "window",
    "allocation_sites": "allocations",
    "check": "once",
    "hot_keys": "key_sampling",
}

__all__ = [
    "CHECKS",
    "ASGIApp",
    "AllocationSite",
    "Check",
    "HotKeys",
    "Limits",
    "Monitor",
    "MonitorStats",
    "Reading",
    "Sample",
    "Server",
    "Verdict",
    "WSGIApp",
    "Window",
    "allocation_sites",
    "check",
    "hot_keys",
    "serve",
]


def __getattr__(name: str) -> Any:
    """A public name when it is first asked for: most programs use one or two."""
    if name not in HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(f"threadproof.watch.{HOMES[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
