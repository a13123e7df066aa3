"""The place where the source assigns a container to its name."""

from __future__ import annotations

from pathlib import Path

import pytest

from threadproof.findings import Place
from threadproof.race.bindings import binding_of

SOURCE = """\
cache = {}
twice = []
twice = [1]
later = None
later = set()

class Registry:
    shared = []
    names: dict
    def __init__(self, given):
        self.items = {}
        self.given, self.other = given, None
        self.moved = []
    def move(self):
        self.moved = []
        self.items['a'] = cache
    def outside(self):
        local = [self.items, self.shared]
        def inner(rows):
            rows.append(local); self.items.clear()
        return lambda x: local

def use(registry):
    cache.clear()
    for row in registry: row.append(1)
"""


@pytest.mark.parametrize(
    ("name", "line", "where"),
    [
        ("cache", 16, 1),
        ("cache", 24, 1),
        ("twice", 24, None),
        ("later", 24, 5),
        ("self.items", 16, 11),
        ("self.items", 20, 11),
        ("self.shared", 18, 8),
        ("self.names", 18, None),
        ("self.moved", 15, None),
        ("self.unknown", 15, None),
        ("local", 20, 18),
        ("local", 21, 18),
        ("rows", 20, None),
        ("registry", 25, None),
        ("row", 25, 25),
        ("registry.items", 24, None),
        ("self.items", 24, None),
        ("items", 16, None),
    ],
)
def test_only_the_one_assignment_that_can_be_meant_is_given(
    tmp_path: Path, name: str, line: int, where: int | None
) -> None:
    (tmp_path / "app.py").write_text(SOURCE)
    found = binding_of(name, Place(str(tmp_path / "app.py"), line))
    assert (found.line if found else None) == where


def test_a_file_that_cannot_be_read_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("cache = {}\nif:\n")
    assert binding_of("cache", Place(str(tmp_path / "app.py"), 1)) is None
    assert binding_of("cache", Place("gone.py", 1)) is None
