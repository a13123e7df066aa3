"""App: from a request to a response, whatever the server.

    /healthz                       200, or 503 with the errors that the checks have found
    /metrics                       Prometheus' text format
    /debug/maps                    all stats, verdicts and findings as JSON
    /debug/threads                 the stacks of all threads
    /debug/contention?seconds=10   where threads wait, observed for so long
    /debug/                        a page that shows /debug/maps, again and again

Only GET and HEAD are answered. Every path wants the token, if there is one, but for the page: it shows
nothing of the program by itself, and takes the token from its address, as in `/debug/#token`.
"""

from __future__ import annotations

import hmac
import json
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from importlib.resources import files
from itertools import islice
from typing import Any
from urllib.parse import parse_qs

from threadproof.findings import Finding, Severity
from threadproof.probe import SelfTestError, UnsupportedError
from threadproof.stats import Registry, registry
from threadproof.watch.engine import Engine
from threadproof.watch.export.families import families
from threadproof.watch.export.snapshot import take
from threadproof.watch.export.text import CONTENT_TYPE, as_text
from threadproof.watch.export.variables import as_object
from threadproof.watch.monitor import Monitor
from threadproof.watch.once import at_once
from threadproof.watch.web.threads import threads

MOST_SECONDS = 60.0  # of a profile: a request that takes longer is a mistake
SHOWN_KEYS = 10  # of a map
LONGEST_KEY = 100  # characters

log = logging.getLogger("threadproof.watch")

PAGE = "/debug/"
# The page has its own script and style, and may ask this server only.
POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'"
)

HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
}


@dataclass(frozen=True)
class Request:
    """The parts of a request that count; names of headers in lower case."""

    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Response:
    """An answer."""

    status: int
    body: bytes
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)

    def all_headers(self) -> list[tuple[str, str]]:
        """Those of every answer as well."""
        own = {"Content-Type": self.content_type, "Content-Length": str(len(self.body))}
        return list({**HEADERS, **own, **self.headers}.items())


class Refused(Exception):
    """The request is refused; the arguments are the status and a sentence."""

    def __init__(self, status: int, message: str, **headers: str) -> None:
        super().__init__(message)
        self.response = json_response(
            {"error": message}, status, {name.replace("_", "-"): value for name, value in headers.items()}
        )


def json_response(body: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    text = json.dumps(body, indent=1, default=str)
    return Response(status, text.encode(), headers=headers or {})


class App:
    """What the endpoints show. `hosts`, if not empty, are the only names in a request's Host header.

    That keeps other web sites from reading the answers through a browser on this machine, by a name of their
    own that leads here (DNS rebinding).
    """

    def __init__(
        self,
        monitor: Monitor | None = None,
        *,
        watched: Registry = registry,
        token: str | None = None,
        show_keys: bool = False,
        hosts: Sequence[str] = (),
    ) -> None:
        if token is not None and not token:
            raise ValueError("the token is empty; use secrets.token_urlsafe(), or None to require none")
        self.monitor = monitor
        self.registry = watched
        self.token = token
        self.show_keys = show_keys
        self.hosts = frozenset(hosts)
        self._engine = Engine(watched, limits=at_once(Engine().checks)) if monitor is None else None
        self._profiling = threading.Lock()
        self.routes: dict[str, Callable[[Request], Response]] = {
            "/healthz": self.healthz,
            "/metrics": self.metrics,
            "/debug/maps": self.maps,
            "/debug/threads": lambda request: json_response(threads()),
            "/debug/contention": self.contention,
            PAGE: page,
        }

    def respond(self, request: Request) -> Response:
        """Answer a request. Blocks for the seconds of a profile."""
        try:
            self.admit(request)
            return self.routes[request.path](request)
        except Refused as refused:
            return refused.response
        except Exception as error:  # user code, such as __repr__, or a profiler that this interpreter lacks
            log.exception("%s could not be answered", request.path)
            return Refused(500, f"{type(error).__name__}; the program's log has more").response

    def admit(self, request: Request) -> None:
        """Refused for a request that must not be answered."""
        if self.hosts and host_of(request) not in self.hosts:
            raise Refused(421, "this server does not have that name")
        if self.token is not None and request.path != PAGE and not is_authorized(request, self.token):
            raise Refused(401, "a token is required", WWW_Authenticate="Bearer")
        if request.method not in ("GET", "HEAD"):
            raise Refused(405, "only GET is allowed", Allow="GET, HEAD")
        if request.path not in self.routes:
            raise Refused(404, f"there is no such path; there are {', '.join(sorted(self.routes))}")

    # --- endpoints ---

    def findings(self) -> list[Finding]:
        """Those of the monitor, or of checks made now."""
        if self.monitor is not None:
            return self.monitor.findings
        assert self._engine is not None
        self._engine.evaluate()
        return self._engine.findings

    def healthz(self, request: Request) -> Response:
        errors = [finding for finding in self.findings() if finding.severity >= Severity.ERROR]
        body = {
            "status": "ill" if errors else "ok",
            "errors": [f"{each.rule}: {each.message}" for each in errors],
        }
        return json_response(body, 503 if errors else 200)

    def metrics(self, request: Request) -> Response:
        text = as_text(families(take(self.registry, self.findings())))
        return Response(200, text.encode(), CONTENT_TYPE)

    def maps(self, request: Request) -> Response:
        found = as_object(take(self.registry, self.findings()))
        if self.show_keys:
            for each in self.registry.watched():
                if each.label in found["structures"] and (keys := some_keys(each.structure)):
                    found["structures"][each.label]["keys"] = keys
        engine = self._engine if self.monitor is None else self.monitor.engine
        assert engine is not None
        found["verdicts"] = [
            {"check": each.check, "structure": each.structure, "verdict": each.word, "level": each.level}
            for each in engine.verdicts
        ]
        return json_response(found)

    def contention(self, request: Request) -> Response:
        seconds = seconds_of(request)
        try:
            profile = import_module("threadproof.watch.contention").profile
        except (ImportError, AttributeError):
            raise Refused(501, "this version has no contention profiler") from None
        if not self._profiling.acquire(blocking=False):
            raise Refused(409, "another profile is under way; try again when it has ended")
        try:
            report = profiled(profile(), seconds)
        finally:
            self._profiling.release()
        return Response(200, report.encode())


def profiled(profile: Any, seconds: float) -> str:
    """The report of so many seconds as JSON; Refused if the interpreter or another profile prevents it."""
    try:
        profile.start()
    except (UnsupportedError, SelfTestError) as error:
        raise Refused(501, str(error)) from None
    except RuntimeError as error:  # the program has one of its own
        raise Refused(409, str(error)) from None
    try:
        time.sleep(seconds)
    finally:
        profile.stop()
    report: str = profile.report().to_json()
    return report


def page(request: Request) -> Response:
    text = files("threadproof.watch.web").joinpath("page.html").read_bytes()
    return Response(200, text, "text/html; charset=utf-8", {"Content-Security-Policy": POLICY})


def host_of(request: Request) -> str:
    """The name in the Host header, without the port."""
    host = request.headers.get("host", "")
    return host[: host.find("]") + 1] if host.startswith("[") else host.partition(":")[0]


def is_authorized(request: Request, token: str) -> bool:
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    # compared in a time that does not depend on how much of it is right
    return scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), token.encode())


def seconds_of(request: Request) -> float:
    text = parse_qs(request.query).get("seconds", ["10"])[-1]
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 < seconds <= MOST_SECONDS:
        raise Refused(400, f"seconds must be a number above 0, at most {MOST_SECONDS:.0f}, got {text[:20]!r}")
    return seconds


def some_keys(structure: Any) -> list[str]:
    """Some keys of a map as text; user code, `__repr__`, makes that."""
    if not (hasattr(structure, "__getitem__") and hasattr(structure, "__iter__")):
        return []
    return [repr(key)[:LONGEST_KEY] for key in islice(structure, SHOWN_KEYS)]
