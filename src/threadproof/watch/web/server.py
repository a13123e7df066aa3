"""serve(): a small server of its own, for this machine only unless told otherwise."""

from __future__ import annotations

import ipaddress
import os
import threading
import weakref
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

from threadproof.stats import Registry, registry
from threadproof.watch.monitor import Monitor
from threadproof.watch.web.app import App, Request

PATIENCE = 10.0  # seconds for which a client may send nothing
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")


class Server:
    """A running server. `close()` ends it; so does the end of a `with` block, and of the process."""

    def __init__(self, app: App, host: str, port: int) -> None:
        self._http = ThreadingHTTPServer((host, port), handler_of(app))
        self._http.daemon_threads = True
        self.host, self.port = host, self._http.server_address[1]
        name = "threadproof server"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.1,), name=name, daemon=True)
        self._thread.start()
        running.add(self)

    @property
    def url(self) -> str:
        """As in `http://127.0.0.1:8123`."""
        return f"http://{self.host}:{self.port}"

    def close(self) -> None:
        """Stop listening; requests that are being answered go on. Nothing happens if it is closed."""
        if self in running:
            running.discard(self)
            self._http.shutdown()
            self._http.server_close()
            self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def serve(
    port: int = 0,
    host: str = "127.0.0.1",
    *,
    monitor: Monitor | None = None,
    watched: Registry = registry,
    token: str | None = None,
    show_keys: bool = False,
) -> Server:
    """Serve the endpoints of App in a daemon thread. Port 0 takes a free one: see `url` of the result.

    Only programs of this machine can connect, unless `host` is another address; that needs a `token`, which
    clients send as `Authorization: Bearer <token>`. With a `monitor` its findings are shown, else those of
    checks that are made for each request. A forked child does not serve.
    """
    local = is_loopback(host)
    if not local and token is None:
        raise ValueError(
            f"serve() on {host} lets other machines read the state of this program; give a token, such as "
            "secrets.token_urlsafe(), or use 127.0.0.1"
        )
    names = (*LOOPBACK_NAMES, host) if local else ()
    return Server(App(monitor, watched=watched, token=token, show_keys=show_keys, hosts=names), host, port)


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def handler_of(app: App) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = PATIENCE
        server_version, sys_version = "threadproof", ""

        def answer(self) -> None:
            path, _, query = self.path.partition("?")
            headers = {name.lower(): value for name, value in self.headers.items()}
            response = app.respond(Request(self.command, path, query, headers))
            self.send_response(response.status)
            for name, value in response.all_headers():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(response.body)

        do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = answer  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Requests are not logged."""

    return Handler


running: weakref.WeakSet[Server] = weakref.WeakSet()


def close_in_child() -> None:
    """The parent's thread is not in a forked child, whose socket would keep the port."""
    for server in list(running):
        running.discard(server)
        server._http.socket.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=close_in_child)
