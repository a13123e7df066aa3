"""A web service whose slow backend survives a stampede: 100 clients ask for one page that nobody has cached.

    python examples/cache/stampede.py

Without the cache, each request would call the backend. With it, one does, and the others wait for its page.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.request import urlopen

from threadproof import Cache, HashMap

CLIENTS = 100
waiting = threading.Semaphore(0)
calls: HashMap[str, int] = HashMap()


def render(path: str) -> bytes:
    """The slow backend: it is done when all clients have asked."""
    calls.add(path)
    for _ in range(CLIENTS):
        waiting.acquire(timeout=60)
    return f"<h1>{path}</h1>".encode()


pages: Cache[str, bytes] = Cache(max_size=1_000, loader=render)


class Handler(BaseHTTPRequestHandler):
    """Answers with the cached page."""

    def do_GET(self) -> None:
        waiting.release()
        page = pages.get_or_load(self.path)
        self.send_response(200)
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


class Server(ThreadingHTTPServer):
    """Lets all clients connect at once."""

    request_queue_size = CLIENTS
    daemon_threads = True


def main() -> None:
    """Start the service, let all clients ask, and print how often the backend was called."""
    with Server(("127.0.0.1", 0), Handler) as server, ThreadPoolExecutor(CLIENTS) as clients:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/index"
        answers = list(clients.map(lambda _: urlopen(url, timeout=60).read(), range(CLIENTS)))
        server.shutdown()
    assert answers == [b"<h1>/index</h1>"] * CLIENTS
    print(f"{CLIENTS} clients, {calls['/index']} call of the backend")


if __name__ == "__main__":
    main()
