"""The name of a container in a report."""

from __future__ import annotations

from pathlib import Path

import pytest

from threadproof.findings import Place
from threadproof.race.naming import container_in, name_of


@pytest.mark.parametrize(
    ("piece", "name"),
    [
        ("d[k]", "d"),
        ("self.items[k][0]", None),  # an item of an item has no name
        ("self.items['a']", "self.items"),
        ("k not in app.state.seen", "app.state.seen"),
        ("cache.setdefault(k, [])", "cache"),
        ("len(self.rows)", "self.rows"),
        ("sorted(d.values())", "d"),
        ("rows", "rows"),
        ("make()[0]", None),
        ("[*rows", None),
        ("a < b in c", None),
    ],
)
def test_only_a_name_or_its_attributes_name_a_container(piece: str, name: str | None) -> None:
    assert container_in(piece) == name


@pytest.mark.parametrize(
    ("function", "name"),
    [
        ("Registry.put", "Registry.items"),
        ("make.<locals>.Registry.put", "Registry.items"),
        ("put", "self.items"),
        ("make.<locals>.put", "self.items"),
    ],
)
def test_self_is_the_class_in_a_method(tmp_path: Path, function: str, name: str) -> None:
    (tmp_path / "a.py").write_text("    self.items[k] = 1\n")
    assert name_of(Place(str(tmp_path / "a.py"), 1, function, 4, 17)) == name
    assert name_of(Place(str(tmp_path / "a.py"), 1, function)) is None
