"""A Flask application, served by threads and requested on loopback."""

from __future__ import annotations

import logging
import sys
import threading
import urllib.request
from contextlib import nullcontext

from flask import Flask, g, jsonify, render_template_string, request
from werkzeug.serving import make_server

RACY = "racy" in sys.argv
app = Flask(__name__)
lock = nullcontext() if RACY else threading.Lock()
together = threading.Barrier(3)  # or a lock of the server may put the visits one after the other


class Counter:
    def __init__(self) -> None:
        self.visits = 0
        self.names: dict[str, int] = {}


counter = Counter()


@app.before_request
def begin() -> None:
    g.name = request.args.get("name", "nobody")


@app.route("/visit")
def visit():
    together.wait()
    with lock:
        counter.visits += 1
        counter.names[g.name] = counter.names.get(g.name, 0) + 1
    return jsonify(name=g.name)


@app.route("/page")
def page():
    return render_template_string("<p>{{ name|upper }}</p>", name=g.name)


def client(base: str, name: str) -> None:
    for path in ("visit", "page") * 5:
        with urllib.request.urlopen(f"{base}/{path}?name={name}") as answer:
            assert answer.status == 200, path
            assert name in answer.read().decode().lower()


def main() -> None:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = make_server("127.0.0.1", 0, app, threaded=True)
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    clients = [
        threading.Thread(target=client, args=(f"http://127.0.0.1:{server.server_port}", f"client{i}"))
        for i in range(3)
    ]
    for each in clients:
        each.start()
    for each in clients:
        each.join()
    server.shutdown()
    serving.join()
    server.server_close()
    for thread in threading.enumerate():
        if thread is not threading.current_thread():
            thread.join()
    print("served" if RACY else (counter.visits, sorted(counter.names.items())))


main()
