"""A service with four mistakes, its healthy twin, and a Monitor that tells them apart.

python examples/watch/service.py                    until all four are found
python examples/watch/service.py --seconds 600      for ten minutes, to look at the endpoints
"""

from __future__ import annotations

import argparse
import sys
import threading
import time
from collections.abc import Callable

from threadproof import Cache, HashMap, SyncMap
from threadproof.findings import Finding
from threadproof.stats import watch
from threadproof.sync import RWLock
from threadproof.watch import Monitor, serve

EXPECTED = {
    ("leak", "ill requests"),
    ("stale-keys", "ill routes"),
    ("waiting", "ill ledger"),
    ("thrashing", "ill pages"),
}
PATIENCE = 30.0  # seconds: half of them suffice where two other programs run


def render(number: int) -> str:
    """A page."""
    return f"page {number}"


class Service:
    """The service. `ill` makes the mistakes."""

    def __init__(self, name: str, ill: bool) -> None:
        self.ill = ill
        self.requests = watch(f"{name} requests", HashMap[int, list[int]]())
        self.routes = watch(f"{name} routes", SyncMap[int, str]((n, f"handler {n}") for n in range(4000)))
        self.ledger = watch(f"{name} ledger", RWLock())
        self.pages = watch(f"{name} pages", Cache[int, str](max_size=100 if ill else 1000, loader=render))
        self.served = 2000  # requests before now
        self.requests.update((number, [number]) for number in range(1, self.served + 1))
        self.remove_routes()

    def remove_routes(self) -> None:
        """An update of the routes, which removes most of them in the ill service."""
        for number in range(4000):
            self.routes.get(number)  # in read tables now
        if self.ill:
            self.routes.delete_many(range(3000))

    def handle_requests(self) -> None:
        """The mistake: nobody removes an ended request."""
        for _ in range(20):
            self.served += 1
            self.requests[self.served] = [self.served]
            if not self.ill:
                del self.requests[self.served - 2000]

    def route(self) -> None:
        for number in range(3000, 3100):
            assert self.routes[number]

    def write_ledger(self) -> None:
        """The mistake: the lock is held while something slow is done."""
        for _ in range(10):
            with self.ledger.write():
                if self.ill:
                    time.sleep(0.02)
            if not self.ill:
                time.sleep(0.02)

    def show_pages(self) -> None:
        """500 pages in use: the ill service's cache has room for 100."""
        for number in range(500):
            self.pages.get_or_load(number)

    def jobs(self) -> list[Callable[[], None]]:
        """What its threads do, again and again; four of them write the ledger."""
        return [self.handle_requests, self.route, self.show_pages, *[self.write_ledger] * 4]


def repeat(job: Callable[[], None], stop: threading.Event) -> None:
    while not stop.wait(0.01):
        job()


def main(argv: list[str] | None = None) -> int:
    """Run both services; 0 if exactly the mistakes were found."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--interval", type=float, default=0.5, help="seconds between samples (default: 0.5)")
    parser.add_argument("--seconds", type=float, default=0.0, help="run for so long, also when all is found")
    parser.add_argument(
        "--patience", type=float, default=PATIENCE, help="seconds until all must be found (default: 30)"
    )
    parser.add_argument("--port", type=int, default=0, help="port of the endpoints (default: a free one)")
    options = parser.parse_args(argv)
    found, all_found, stop = set[tuple[str, str]](), threading.Event(), threading.Event()
    began = time.monotonic()

    def report(finding: Finding) -> None:
        print(
            f"{time.monotonic() - began:5.1f} s  {finding.severity}: {finding.rule}: {finding.message}",
            flush=True,
        )
        print(f"         {finding.why}", flush=True)
        found.add((finding.rule, finding.subject))
        if found >= EXPECTED:
            all_found.set()

    services = [Service("ill", ill=True), Service("twin", ill=False)]
    jobs = [job for service in services for job in service.jobs()]
    threads = [threading.Thread(target=repeat, args=(job, stop), daemon=True) for job in jobs]
    for thread in threads:
        thread.start()
    try:
        with Monitor(options.interval, report) as monitor, serve(options.port, monitor=monitor) as server:
            print(f"serving {server.url}/metrics, {server.url}/debug/maps, {server.url}/healthz", flush=True)
            time.sleep(options.seconds)
            all_found.wait(max(0.0, options.patience - options.seconds))
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    return verdict(found)


def verdict(found: set[tuple[str, str]]) -> int:
    missed = EXPECTED - found
    false = {each for each in found if each[1].startswith("twin")}
    for check, name in sorted(missed):
        print(f"not found: {check} of {name}")
    for check, name in sorted(false):
        print(f"found, although it is healthy: {check} of {name}")
    right = len(EXPECTED) - len(missed)
    print(f"{right} of {len(EXPECTED)} mistakes found, {len(false)} findings about the twin")
    return 1 if missed or false else 0


if __name__ == "__main__":
    sys.exit(main())
