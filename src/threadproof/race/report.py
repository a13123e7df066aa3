"""The race detector as a tool that reports findings."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Sequence
from importlib.metadata import version

from threadproof.findings import Finding
from threadproof.findings.reporter import Reporter
from threadproof.findings.suppress import Suppression
from threadproof.findings.tool import Tool
from threadproof.race.options import OPTIONS
from threadproof.race.rules import RULES
from threadproof.race.session import Session

DETECTOR = Tool(OPTIONS, RULES, version("threadproof"))


def findings(
    reporter: Reporter, session: Session, allowed: Sequence[Suppression] = (), since: int = 0
) -> list[Finding]:
    """The findings of a session, worst first, without its first `since` races; suppressed ones are marked."""
    return reporter.apply(session.findings(reporter.options["strict"], since), allowed)


class Halt:
    """Ends the process at the first race that counts. The thread that raced calls it, at its access."""

    def __init__(self, session: Session, reporter: Reporter) -> None:
        self.session, self.reporter = session, reporter
        self.once = threading.Lock()

    def __call__(self) -> None:
        found = findings(self.reporter, self.session)
        if any(map(self.reporter.counts, found)) and self.once.acquire(blocking=False):
            self.reporter.publish(found)
            sys.stderr.flush()
            os._exit(DETECTOR.found)
