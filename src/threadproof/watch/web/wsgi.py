"""The endpoints for WSGI servers: mount `WSGIApp()` at a path of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any

from threadproof.watch.web.app import App, Request

StartResponse = Callable[[str, list[tuple[str, str]]], object]


class WSGIApp:
    """A WSGI application; takes the arguments of App."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.app = App(*args, **kwargs)

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request."""
        request = request_of(environ)
        response = self.app.respond(request)
        status = f"{response.status} {HTTPStatus(response.status).phrase}"
        start_response(status, response.all_headers())
        return [] if request.method == "HEAD" else [response.body]


def request_of(environ: dict[str, Any]) -> Request:
    headers = {
        name[5:].replace("_", "-").lower(): str(value)
        for name, value in environ.items()
        if name.startswith("HTTP_")
    }
    return Request(
        environ["REQUEST_METHOD"], environ.get("PATH_INFO") or "/", environ.get("QUERY_STRING", ""), headers
    )
