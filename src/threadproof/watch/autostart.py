"""THREADPROOF_WATCH=1: a monitor and a server from the start, without a line in the program.

`threadproof top PID` finds the server. It has a token of its own, so that other users of the machine cannot
read it.
"""

from __future__ import annotations

import atexit
import os
import secrets
import sys

from threadproof.watch import addresses
from threadproof.watch.monitor import Monitor
from threadproof.watch.web.server import Server, serve

VARIABLE = "THREADPROOF_WATCH"
running: list[tuple[Monitor, Server]] = []


def start() -> None:
    """Begin, in this process and in its forked children; one line on stderr if that cannot be."""
    token = secrets.token_urlsafe()
    try:
        monitor = running[0][0] if running else Monitor().start()
        server = serve(monitor=monitor, token=token)
        path = addresses.write(server.url, token)
    except OSError as error:
        print(f"threadproof: {VARIABLE}: cannot serve: {error}", file=sys.stderr)
        return
    running[:] = [(monitor, server)]
    atexit.register(addresses.remove, path)


if os.environ.get(VARIABLE) == "1":
    start()
    os.register_at_fork(after_in_child=start)
