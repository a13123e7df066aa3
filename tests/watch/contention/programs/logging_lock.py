"""A slow handler: whoever logs waits for the handler's lock."""

import logging
import threading

from scene import join, start, work_until_blocked


class Slow(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        if record.msg == "slow":
            inside.set()
            work_until_blocked(threads[0])


inside = threading.Event()
log = logging.getLogger("app")
log.setLevel(logging.INFO)
log.addHandler(Slow())


def serve() -> None:
    inside.wait()
    log.info("quick")  # blocks


def report() -> None:
    log.info("slow")


threads: list[threading.Thread] = []
threads += start(serve)
threads += start(report)
join(threads)
