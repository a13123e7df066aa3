"""The endpoints for ASGI servers: mount `ASGIApp()` at a path of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from threadproof.watch.web.app import App, Request

Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


class ASGIApp:
    """An ASGI application; takes the arguments of App. It answers in a thread: the event loop goes on."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.app = App(*args, **kwargs)

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer a request; of a lifespan, nothing is needed."""
        if scope["type"] == "lifespan":
            await live(receive, send)
            return
        if scope["type"] != "http":
            raise ValueError(f"ASGIApp() answers HTTP requests, got {scope['type']!r}")
        request = request_of(scope)
        response = await asyncio.to_thread(self.app.respond, request)
        headers = [(name.lower().encode(), value.encode()) for name, value in response.all_headers()]
        await send({"type": "http.response.start", "status": response.status, "headers": headers})
        body = b"" if request.method == "HEAD" else response.body
        await send({"type": "http.response.body", "body": body})


async def live(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


def request_of(scope: Mapping[str, Any]) -> Request:
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
    path = scope["path"].removeprefix(scope.get("root_path", "")) or "/"
    return Request(scope["method"], path, scope.get("query_string", b"").decode("latin-1"), headers)
