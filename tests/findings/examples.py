"""Findings to print: one with all there is, one of each severity, one suppressed, one without source."""

from __future__ import annotations

from pathlib import Path

from threadproof.findings import Finding, Place, Severity, Step, Suppressed
from threadproof.findings.options import Options
from threadproof.findings.tool import Tool

GOLDEN = Path(__file__).parent / "golden"
BANK = str(GOLDEN / "bank.txt")

CHECK = Place(BANK, 11, "Account.pay", 11, 33)
STORE = Place(BANK, 12, "Account.pay", 12, 24)
CALLER = Place(BANK, 16, "run", 4, 19)
MODULE = Place(BANK, 19, "<module>", 18, 28)

RACE = Tool(Options("race"), (), "1.0")  # a tool whose rules are not known

EXAMPLES = [
    Finding(
        "check-then-act",
        Severity.ERROR,
        "Account.balance is looked at by one thread before it acts, and another may act in between",
        CHECK,
        [
            Step("read by teller, holding lock A", [CHECK, CALLER]),
            Step("earlier write by MainThread, holding no lock", [STORE]),
            Step("teller was started by MainThread", [CALLER], main=False),
            Step("nothing more is known of it", main=False),
        ],
        why="only one of the two holds a lock; the other does not wait for it",
        fix="hold one lock from the check to the act",
        times=3,
        subject="Account.balance",
    ),
    Finding("unordered-writes", Severity.WARNING, "100 %: a, b", MODULE, subject="größe", fix="one\nlock"),
    Finding("unordered-read", Severity.NOTE, "the source is gone", Place("gone.py", 7), why="it was deleted"),
    Finding(
        "lost-update",
        Severity.ERROR,
        "Account.balance is updated twice",
        STORE,
        [Step("write", [STORE])],
        subject="Account.balance",
        suppressed=Suppressed("app.py:3", "a test <double>", in_source=True),
    ),
]
