"""The race detector's own options, beside those that all tools share."""

from __future__ import annotations

from argparse import ArgumentTypeError

from threadproof.findings.options import Option, Options, code, truth

DEEPEST = 1000  # calls: Python's own limit, unless the program changes it
HISTORY = 16  # calls of a stack: enough to distinguish callers, few enough to keep for every access


def calls(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= DEEPEST:
        raise ArgumentTypeError(f"{text!r} is not a number of frames from 1 to {DEEPEST}")
    return int(text)


OPTIONS = Options(
    "race",
    [
        Option("strict", "report every unordered pair of accesses, each as an error", truth, default=False),
        code("include", "also watch this package, module or folder; may be repeated"),
        code("exclude", "do not watch this package, module or folder; may be repeated"),
        Option("sample", "watch a sample of hot code: costs little, and finds less", truth, default=False),
        Option(
            "order_io", "bytes read from sockets, pipes and files order their threads", truth, default=False
        ),
        Option("children", "also watch the Python programs that subprocess starts", truth, default=False),
        Option("halt_on_error", "at the first race that counts, report and exit", truth, default=False),
        Option("history", f"calls kept of each stack (default: {HISTORY})", calls, HISTORY, "FRAMES"),
    ],
)
