"""Each rule on its case: source with the lines where it must report, and lines where it must not."""

from __future__ import annotations

from pathlib import Path

import pytest

from threadproof.lint.rules import all_rules
from threadproof.lint.testing import check_file

CASES = Path(__file__).parent / "cases"
BY_FILE = {rule.name.replace("-", "_"): rule for rule in all_rules().values()}


@pytest.mark.parametrize("path", sorted(CASES.glob("*.py")), ids=lambda path: path.stem)
def test_a_rule_reports_what_its_case_wants(path: Path) -> None:
    check_file(path, BY_FILE[path.stem])


def test_every_rule_has_a_case() -> None:
    assert set(BY_FILE) == {path.stem for path in CASES.glob("*.py")}
