"""rich: a progress display with a thread of its own, advanced by others, which print, too."""

from __future__ import annotations

import io
import logging
import sys
import threading
from contextlib import nullcontext

from rich.console import Console
from rich.logging import RichHandler
from rich.progress import Progress
from rich.table import Table

RACY = "racy" in sys.argv
lock = nullcontext() if RACY else threading.Lock()
together = threading.Barrier(3)  # or rich's own lock may put the steps of one thread before those of another


class Totals:
    steps = 0


totals = Totals()


def main() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=80)
    logging.basicConfig(level="INFO", handlers=[RichHandler(console=console)])
    with Progress(console=console, refresh_per_second=50) as progress:

        def work(number: int) -> None:
            task = progress.add_task(f"task {number}", total=10)
            together.wait()
            for _ in range(10):
                with lock:
                    totals.steps += 1
                progress.advance(task)
            progress.console.print(f"done {number}")
            logging.info("done %s", number)

        threads = [threading.Thread(target=work, args=(i,)) for i in range(3)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        assert progress.finished
    table = Table("name")
    table.add_row("a")
    console.print(table)
    written = console.file.getvalue()
    print("ran" if RACY else totals.steps, [f"done {i}" in written for i in range(3)])


main()
