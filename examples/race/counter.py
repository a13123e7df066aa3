"""Two threads count visits, and some are lost: `threadproof race examples/race/counter.py` reports where."""

import threading


class Page:
    def __init__(self) -> None:
        self.visits = 0

    def visit(self) -> None:
        self.visits += 1  # a load, an addition and a store: another thread may store in between


def crowd(page: Page) -> None:
    for _ in range(1000):
        page.visit()


page = Page()
threads = [threading.Thread(target=crowd, args=[page], name=name) for name in ("north gate", "south gate")]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(page.visits, "visits")
