"""Small cases made after fixed bugs of published packages; each names the releases. None of them is copied.

`# bug` marks the line that a report should stand on. What is not found is known, and named below: the figures
of docs/lint.md are of the packages themselves, and `benchmarks/lint_quality.py` measures them.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from threadproof.lint.testing import reports_of

CASES = sorted((Path(__file__).parent / "mined").glob("*.py"))
# (file, class): what it would take.
MISSED = {
    ("loops", "Cache"): "to know that two lists belong together",
}


def bugs(text: str) -> dict[int, str]:
    """{line: the class or function that it is in} of the marked lines."""
    found = {}
    name = ""
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith(("class ", "def ")):
            name = line.split()[1].partition("(")[0].rstrip(":")
        if "# bug" in line:
            found[number] = name
    return found


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_bugs_are_found_but_for_those_known_to_be_missed(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    reported = {report.span.line for report in reports_of(text)}
    missed = {name for line, name in bugs(text).items() if line not in reported}
    assert missed == {name for file, name in MISSED if file == path.stem}
