"""Findings with one cause are one group in every format, and each still counts by itself."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.findings.examples import GOLDEN, RACE
from tests.kit.hammer import PATIENCE
from threadproof import _core
from threadproof.findings import Finding, Place, Severity, Suppressed
from threadproof.findings.formats.html import as_html
from threadproof.findings.formats.sarif import as_sarif
from threadproof.findings.formats.text import as_texts
from threadproof.findings.groups import grouped


def finding(name: str, *causes: str) -> Finding:
    place = Place(str(GOLDEN / "bank.txt"), 11, "Account.pay")
    return Finding("lost-update", Severity.ERROR, f"{name} is lost", place, subject=name, causes=causes)


A, B, C, D = finding("A", "x"), finding("B", "y"), finding("C", "x", "y"), finding("D", "z")
ALONE = finding("alone")


def test_marks_connect_findings_also_through_a_third_one() -> None:
    groups = [one.group for one in grouped([A, B, D, C, ALONE, ALONE])]
    assert groups == [A.fingerprint(), A.fingerprint(), D.fingerprint(), A.fingerprint(), "", ""]


def test_a_group_is_printed_as_one_and_counts_the_others() -> None:
    texts = as_texts(grouped([A, B, D, C]))
    assert [text.splitlines()[0].rpartition(": ")[2] for text in texts] == ["A is lost", "D is lost"]
    assert "and 2 more like it" in texts[0]
    assert [line.rpartition(": ")[2] for line in texts[0].splitlines()[-2:]] == [
        "B, in Account.pay",
        "C, in Account.pay",
    ]


def test_the_first_finding_that_is_shown_stands_for_its_group() -> None:
    marked = grouped([replace(A, suppressed=Suppressed("here")), B, C])
    (text,) = as_texts(one for one in marked if not one.suppressed)
    assert "B is lost" in text
    assert "and 1 more like it" in text


def test_files_name_the_group_and_keep_every_finding() -> None:
    marked = grouped([A, D, C])
    results = json.loads(as_sarif(marked, RACE))["runs"][0]["results"]
    assert [each["properties"]["group"] for each in results] == [one.group for one in marked]
    page = as_html(marked, "races")
    assert page.count("<article") == 3
    assert "and 1 more like it" in page


@pytest.mark.skipif(not hasattr(_core, "race"), reason="the race detector needs CPython 3.14")
def test_a_class_without_a_lock_is_one_group_and_each_of_its_races_is_in_the_baseline(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(
        "import threading\n"
        "class Cache:\n"
        "    hits = misses = 0\n"
        "    def hit(self): self.hits += 1\n"
        "    def miss(self): self.misses += 1\n"
        "class Other: n = 0\n"
        "cache, other = Cache(), Other()\n"
        "def count(): other.n += 1\n"
        "def work(): cache.hit(); cache.miss(); count()\n"
        "threads = [threading.Thread(target=work) for _ in range(2)]\n"
        "for thread in threads: thread.start()\n"
        "for thread in threads: thread.join()\n"
    )
    command = [sys.executable, "-m", "threadproof", "race", "--json", "r.json", "--write-baseline", "b.json"]
    ran = subprocess.run([*command, "app.py"], cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE)
    found = json.loads((tmp_path / "r.json").read_text())["findings"]
    group = {one["subject"]: one["group"] for one in found}
    assert group.keys() == {"Cache.hits", "Cache.misses", "Other.n"}
    assert group["Cache.hits"] == group["Cache.misses"] != group["Other.n"]
    assert ran.stderr.count("and 1 more like it") == 1
    assert "3 errors" in ran.stderr
    assert len(json.loads((tmp_path / "b.json").read_text())) == 3
