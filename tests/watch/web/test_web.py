"""The endpoints: what they show, to whom, and what they refuse."""

from __future__ import annotations

import asyncio
import json
import os
import queue
import signal
import socket
import sys
import threading
import types
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from typing import Any
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import pytest

from tests.kit.hammer import PATIENCE
from threadproof import HashMap
from threadproof.stats import Registry
from threadproof.watch import ASGIApp, Monitor, Server, WSGIApp, serve
from threadproof.watch.web.app import App, Request

PATHS = ["/metrics", "/debug/maps", "/debug/threads", "/healthz", "/debug/contention?seconds=0.01"]
METHODS = ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"]


class SameHash:
    """A key whose hash is that of all others."""

    def __hash__(self) -> int:
        return 7


@pytest.fixture
def secrets() -> HashMap[str, str]:
    return HashMap({"key-of-alice": "value-of-alice"})


@pytest.fixture
def watched(secrets: HashMap[str, str]) -> Registry:
    registry = Registry()
    registry.add(secrets, "secrets")
    return registry


class Fetch:
    """A client of a server."""

    def __init__(self, server: Server) -> None:
        self.server = server

    def __call__(
        self, path: str, method: str = "GET", headers: dict[str, str] | None = None
    ) -> tuple[int, str, dict[str, str]]:
        connection = HTTPConnection(self.server.host, self.server.port, timeout=PATIENCE)
        try:
            connection.request(method, path, headers=headers or {})
            answer = connection.getresponse()
            return answer.status, answer.read().decode(), dict(answer.getheaders())
        finally:
            connection.close()


@pytest.fixture
def fetch(watched: Registry) -> Iterator[Fetch]:
    with serve(watched=watched) as server:
        yield Fetch(server)


class Profile:
    """What the contention profiler gives."""

    def start(self) -> None:
        pass

    def stop(self) -> None:
        pass

    def report(self) -> Profile:
        return self

    def to_json(self) -> str:
        return '{"locks": []}'


@pytest.fixture(autouse=True)
def profiler(monkeypatch: pytest.MonkeyPatch) -> None:
    """A profiler that takes no time to start."""
    module = types.ModuleType("threadproof.watch.contention")
    module.profile = Profile  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "threadproof.watch.contention", module)


# --- what they show ---


def test_metrics_maps_threads_and_health(fetch: Fetch) -> None:
    status, text, headers = fetch("/metrics")
    assert (status, headers["Content-Type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    assert 'threadproof_size_keys{name="secrets",kind="HashMap"} 1' in text
    maps = json.loads(fetch("/debug/maps")[1])
    assert maps["structures"]["secrets"]["stats"]["size"] == 1
    assert {"check": "bad-hashes", "structure": "secrets", "verdict": "ok", "level": 1} in maps["verdicts"]
    threads = json.loads(fetch("/debug/threads")[1])
    assert {"MainThread", "threadproof server"} <= {thread["name"] for thread in threads}
    assert any("test_metrics_maps_threads_and_health" in line for each in threads for line in each["stack"])
    assert (fetch("/healthz")[0], json.loads(fetch("/healthz")[1])) == (200, {"status": "ok", "errors": []})
    assert json.loads(fetch("/debug/contention?seconds=0.01")[1]) == {"locks": []}


def test_an_ill_program_is_not_healthy(fetch: Fetch, watched: Registry) -> None:
    ill = watched.add(HashMap[Any, int]((SameHash(), number) for number in range(200)), "ill")
    status, body, _ = fetch("/healthz")
    assert status == 503
    assert json.loads(body)["errors"] == ["bad-hashes: many keys of ill have equal hashes"]
    ill.clear()
    assert fetch("/healthz")[0] == 200


def test_with_a_monitor_its_findings_are_shown(watched: Registry) -> None:
    monitor = Monitor(registry=watched, on_finding=lambda finding: None)
    ill = watched.add(HashMap[Any, int]((SameHash(), number) for number in range(200)), "ill")
    app = App(monitor, watched=watched)
    assert app.respond(Request("GET", "/healthz")).status == 200
    monitor.evaluate()
    assert app.respond(Request("GET", "/healthz")).status == 503
    assert b'threadproof_finding{check="bad-hashes",name="ill",severity="error"} 1' in (
        app.respond(Request("GET", "/metrics")).body
    )
    assert len(ill) == 200


@pytest.mark.parametrize("path", PATHS)
def test_no_path_shows_a_value_and_keys_only_if_chosen(path: str, watched: Registry) -> None:
    for show_keys in (False, True):
        with serve(watched=watched, show_keys=show_keys) as server:
            _, body, _ = Fetch(server)(path)
        assert "value-of-alice" not in body
        assert ("key-of-alice" in body) == (show_keys and path == "/debug/maps")


def test_a_head_has_no_body(fetch: Fetch) -> None:
    status, body, headers = fetch("/metrics", "HEAD")
    assert (status, body) == (200, "")
    assert int(headers["Content-Length"]) > 0


# --- what they refuse ---


@pytest.mark.parametrize("path", [*PATHS, "/nothing"])
@pytest.mark.parametrize("method", METHODS)
def test_only_reading_is_allowed(path: str, method: str, fetch: Fetch, secrets: HashMap[str, str]) -> None:
    status, _, headers = fetch(path, method)
    assert (status, headers["Allow"]) == (405, "GET, HEAD")
    assert secrets == {"key-of-alice": "value-of-alice"}


@pytest.mark.parametrize("path", [*PATHS, "/nothing", "/../etc/passwd", "//", "/debug/maps/secrets"])
@pytest.mark.parametrize(
    "given", [None, "Bearer wrong", "Bearer ", "Basic right", "right", "Bearer right2", "Bearer é"]
)
def test_without_the_token_every_path_is_refused(path: str, given: str | None, watched: Registry) -> None:
    app = App(watched=watched, token="right")
    headers = {} if given is None else {"authorization": given}
    for method in ("GET", "HEAD", *METHODS):
        response = app.respond(Request(method, path, "", headers))
        assert response.status == 401
        assert response.headers["WWW-Authenticate"] == "Bearer"
        assert b"secrets" not in response.body


def test_with_the_token_it_answers(watched: Registry) -> None:
    with serve(watched=watched, token="right") as server:
        assert Fetch(server)("/metrics")[0] == 401
        assert Fetch(server)("/metrics", headers={"Authorization": "Bearer right"})[0] == 200


def test_another_sites_name_for_this_machine_is_refused(fetch: Fetch) -> None:
    assert fetch("/debug/maps", headers={"Host": "evil.example:80"})[0] == 421
    for host in ("localhost", f"127.0.0.1:{fetch.server.port}", "[::1]:80"):
        assert fetch("/debug/maps", headers={"Host": host})[0] == 200


@pytest.mark.parametrize("seconds", ["0", "-1", "61", "nan", "inf", "ten", "1e9"])
def test_a_profile_is_bounded(seconds: str, fetch: Fetch) -> None:
    status, body, _ = fetch(f"/debug/contention?seconds={seconds}")
    assert status == 400
    assert "seconds must be a number above 0, at most 60" in body


def test_one_profile_at_a_time(watched: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    app, started, go_on = App(watched=watched), threading.Event(), threading.Event()

    def wait(seconds: float) -> None:
        started.set()
        assert go_on.wait(PATIENCE)

    monkeypatch.setattr("threadproof.watch.web.app.time.sleep", wait)
    statuses = queue.Queue[int]()
    thread = threading.Thread(
        target=lambda: statuses.put(app.respond(Request("GET", "/debug/contention")).status)
    )
    thread.start()
    assert started.wait(PATIENCE)
    assert app.respond(Request("GET", "/debug/contention")).status == 409
    go_on.set()
    thread.join()
    assert statuses.get() == 200
    assert app.respond(Request("GET", "/debug/contention")).status == 200


def test_an_error_of_the_program_is_logged_and_not_shown(
    watched: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    class Key:
        def __repr__(self) -> str:
            raise OSError("a secret")

    bad = watched.add(HashMap[Any, int]({Key(): 1}), "bad")
    response = App(watched=watched, show_keys=True).respond(Request("GET", "/debug/maps"))
    assert response.status == 500
    assert b"a secret" not in response.body
    assert "a secret" in caplog.text
    assert len(bad) == 1


def test_without_the_profiler_that_is_what_it_answers(
    watched: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "threadproof.watch.contention", None)
    assert App(watched=watched).respond(Request("GET", "/debug/contention", "seconds=1")).status == 501


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.com"])
def test_other_machines_need_a_token(host: str) -> None:
    with pytest.raises(ValueError, match="lets other machines read the state of this program; give a token"):
        serve(host=host)


def test_an_empty_token_is_refused() -> None:
    with pytest.raises(ValueError, match="the token is empty"):
        serve(token="")


def test_it_listens_on_this_machine_only(fetch: Fetch) -> None:
    assert fetch.server.host == "127.0.0.1"
    assert fetch.server._http.socket.getsockname()[0] == "127.0.0.1"


def test_a_closed_server_does_not_listen(watched: Registry) -> None:
    server = serve(watched=watched)
    server.close()
    server.close()
    with pytest.raises(OSError), socket.create_connection((server.host, server.port), PATIENCE):  # noqa: PT011
        pass


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_does_not_keep_the_port(watched: Registry) -> None:
    server = serve(watched=watched)
    ready, is_ready = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(is_ready, b"!")  # the functions that a fork calls are over
        signal.pause()
    try:
        assert os.read(ready, 1)
        server.close()
        with socket.create_server((server.host, server.port)):
            pass
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(ready)
        os.close(is_ready)


# --- other servers ---


def test_wsgi(watched: Registry) -> None:
    started: list[Any] = []

    def start(status: str, headers: list[tuple[str, str]], *rest: object) -> Callable[[bytes], object]:
        started.extend((status, dict(headers)))
        return lambda data: None

    environ: dict[str, Any] = {
        "SCRIPT_NAME": "",
        "PATH_INFO": "/metrics",
        "HTTP_AUTHORIZATION": "Bearer right",
        "QUERY_STRING": "",
    }
    setup_testing_defaults(environ)
    result = validator(WSGIApp(watched=watched, token="right"))(environ, start)
    body = b"".join(result)
    result.close()  # type: ignore[attr-defined]
    assert started[0] == "200 OK"
    assert b'threadproof_size_keys{name="secrets"' in body


def ask(app: ASGIApp, scope: dict[str, Any], *messages: dict[str, Any]) -> list[dict[str, Any]]:
    sent, waiting = list[dict[str, Any]](), list(messages)

    async def receive() -> dict[str, Any]:
        return waiting.pop(0)

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    asyncio.run(app(scope, receive, send))
    return sent


def test_asgi(watched: Registry) -> None:
    app = ASGIApp(watched=watched, token="right")
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/watch/healthz",
        "root_path": "/watch",
        "query_string": b"",
    }
    allowed = [(b"Authorization", b"Bearer right")]
    start, body = ask(app, {**scope, "headers": allowed}, {"type": "http.request"})
    assert (start["status"], json.loads(body["body"])["status"]) == (200, "ok")
    assert ask(app, {**scope, "headers": []}, {"type": "http.request"})[0]["status"] == 401
    events = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
    assert [each["type"] for each in ask(app, {"type": "lifespan"}, *events)] == [
        "lifespan.startup.complete",
        "lifespan.shutdown.complete",
    ]
