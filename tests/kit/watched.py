"""What a program prints under the detector, without the detector's last line."""

from __future__ import annotations

import re

SUMMARY = re.compile(r"^threadproof race: (watched |no second thread ).*\n", re.MULTILINE)


def without_summary(text: str) -> str:
    """Stderr without the line that says what was watched."""
    return SUMMARY.sub("", text)
