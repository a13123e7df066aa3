"""logging in all its forms: configured by a dict, through queues and memory, with filters and adapters."""

from __future__ import annotations

import io
import logging
import logging.config
import logging.handlers
import queue
import sys
import tempfile
import threading
from contextlib import nullcontext

RACY = "racy" in sys.argv
lock = nullcontext() if RACY else threading.Lock()
together = threading.Barrier(3)  # or a lock of logging may put the lines of one thread first


class Counting(logging.Handler):
    count = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.count += 1
        self.last = self.format(record)


class Numbering(logging.Formatter):
    number = 0

    def format(self, record: logging.LogRecord) -> str:
        self.number += 1
        return f"{self.number}: {super().format(record)}"


class Odd(logging.Filter):
    seen = 0

    def filter(self, record: logging.LogRecord) -> bool:
        together.wait()
        with lock:
            self.seen += 1  # a filter of a logger runs under no lock
        return int(record.getMessage().rpartition(" ")[2]) % 2 == 1


def configured(folder: str) -> Counting:
    logging.config.dictConfig(
        {
            "version": 1,
            "formatters": {  # one for each handler: format() runs under the handler's lock
                name: {"()": Numbering, "format": "%(levelname)s %(message)s"} for name in ("first", "second")
            },
            "filters": {"odd": {"()": Odd}},
            "handlers": {
                "count": {"()": Counting, "formatter": "first"},
                "file": {
                    "class": "logging.handlers.RotatingFileHandler",
                    "filename": f"{folder}/log",
                    "maxBytes": 300,
                    "backupCount": 2,
                    "formatter": "second",
                },
                "memory": {"class": "logging.handlers.MemoryHandler", "capacity": 3, "target": "count"},
            },
            "loggers": {"odd": {"filters": ["odd"], "handlers": ["memory", "file"], "level": "INFO"}},
        }
    )
    return logging.getHandlerByName("count")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        counting = configured(folder)
        lines: queue.SimpleQueue = queue.SimpleQueue()
        listened, stream = Counting(), io.StringIO()
        listener = logging.handlers.QueueListener(lines, listened)
        listener.start()
        through = logging.getLogger("through")
        through.setLevel("INFO")
        through.addHandler(logging.handlers.QueueHandler(lines))
        through.addHandler(logging.StreamHandler(stream))

        def work(number: int) -> None:
            adapter = logging.LoggerAdapter(logging.getLogger("odd"), {"worker": number})
            for i in range(6):
                adapter.info("line %s", i)
                through.warning("through %s", i)
            logging.getLogger(f"own.{number}").warning("own")

        logging.getLogger("own").addHandler(logging.NullHandler())
        logging.getLogger("own").propagate = through.propagate = logging.getLogger("odd").propagate = False
        threads = [threading.Thread(target=work, args=(i,)) for i in range(3)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        listener.stop()
        logging.getHandlerByName("memory").flush()
        print(counting.count, listened.count, len(stream.getvalue().splitlines()))
        logging.shutdown()


main()
