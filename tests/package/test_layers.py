"""The arrows between the parts: which area may import which, and where each public name lives."""

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import threadproof

SOURCE = Path(__file__).parents[2] / "src"
PACKAGE = SOURCE / "threadproof"

# What each area may import of ours, besides itself; a package stands for all it holds.
AREAS = {
    "_core",
    "findings",
    "missing",
    "stats",
    "maps",
    "sync",
    "race",
    "lint",
    "health",
    "bench",
    "demo",
    "remote",
}
ARROWS: dict[str, set[str]] = {
    "__init__": AREAS,  # the headline names
    "__main__": {"cli"},
    "cli": AREAS | {"__init__"},
    "pytest_plugin": AREAS | {"__init__"},
    "health": {"stats", "findings"},
    "bench": {"maps.contract", "stats", "findings"},
    "demo": {"maps"},
    "remote": {"maps.contract", "stats"},
    "race": {"_core", "findings"},
    "lint": {"findings"},
    "maps": {"_core", "missing", "stats"},
    "sync": {"_core", "missing", "stats"},
    "findings": set(),
    "missing": set(),
    "stats": set(),
}


def from_source(path: Path) -> str:
    return str(path.relative_to(SOURCE))


# --- Python ---


def module_of(path: Path) -> str:
    """`maps.contract` for maps/contract.py, `maps` for maps/__init__.py, `__init__` for the package's own."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts) or "__init__"


def is_module(name: str) -> bool:
    path = PACKAGE.joinpath(*name.split("."))
    return path.is_dir() or path.with_suffix(".py").exists() or path.with_suffix(".pyi").exists()


def named_in(node: ast.AST) -> Iterator[str]:
    """The full names of what an import loads: for `from a import b`, `a.b` if that is one, else `a`."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        assert node.level == 0, f"line {node.lineno}: imports are absolute here, to show where they go"
        modules = [f"{node.module}.{alias.name}" for alias in node.names]
        yield from (name if is_module(name.partition(".")[2]) else str(node.module) for name in modules)


def imports_of(source: str) -> set[str]:
    """Every module of ours that the source imports, wherever in it the import stands."""
    names = {name for node in ast.walk(ast.parse(source)) for name in named_in(node)}
    ours = {name.partition(".") for name in names}
    return {rest or "__init__" for package, _, rest in ours if package == "threadproof"}


def against_the_arrows(module: str, source: str) -> set[str]:
    area = module.partition(".")[0]
    assert area in ARROWS, f"threadproof.{area} is a new area: give it a row in ARROWS"
    reached = ARROWS[area] | {area}
    return {name for name in imports_of(source) if not any(f"{name}.".startswith(f"{to}.") for to in reached)}


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=from_source)
def test_a_module_imports_only_what_its_area_reaches(path: Path) -> None:
    assert not against_the_arrows(module_of(path), path.read_text())


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("health.checks", "import threadproof.maps"),
        ("maps.hash_map", "from threadproof import health"),
        ("maps.hash_map", "from threadproof import HashMap"),
        ("remote.map", "from threadproof.maps import HashMap"),
        ("lint.engine", "def late():\n    from threadproof._core import REMOVE"),
        ("stats", "import threadproof.cli.demo"),
    ],
)
def test_an_import_against_the_arrows_is_seen(module: str, source: str) -> None:
    assert against_the_arrows(module, source)


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("remote.map", "from threadproof.maps.contract import ConcurrentMap"),
        ("remote.map", "from threadproof.maps import contract"),
        ("maps.hash_map", "from threadproof import _core"),
        ("cli.demo", "import threadproof"),
        ("stats", "import threading, threadproofer"),
    ],
)
def test_an_import_along_the_arrows_is_allowed(module: str, source: str) -> None:
    assert not against_the_arrows(module, source)


# --- public names ---


def public_names() -> dict[str, list[str]]:
    """What each area that exists lists as public; `__init__` only repeats it, and `_core` is private."""
    areas = [area for area in ARROWS if is_module(area) and not area.startswith("_")]
    modules = {area: importlib.import_module(f"threadproof.{area}") for area in areas}
    return {area: list(getattr(module, "__all__", [])) for area, module in modules.items()}


def test_a_public_name_lives_in_exactly_one_area() -> None:
    homes: dict[str, list[str]] = {}
    for area, names in public_names().items():
        for name in names:
            homes.setdefault(name, []).append(area)
    assert not {name: areas for name, areas in homes.items() if len(areas) > 1}


def test_a_headline_name_is_the_very_object_of_its_area() -> None:
    for area, names in public_names().items():
        home = importlib.import_module(f"threadproof.{area}")
        for name in set(names) & set(threadproof.__all__):
            assert getattr(threadproof, name) is getattr(home, name), name


# --- C++ ---


def includes_of(path: Path) -> list[str]:
    return re.findall(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]', path.read_text(), re.MULTILINE)


@pytest.mark.parametrize("path", sorted((SOURCE / "core").rglob("*.*pp")), ids=from_source)
def test_the_core_includes_neither_python_nor_the_extension(path: Path) -> None:
    assert not [name for name in includes_of(path) if name.startswith(("Python.h", "ext/", ".."))]


@pytest.mark.parametrize("path", sorted((SOURCE / "ext").rglob("*.*pp")), ids=from_source)
def test_cpythons_internals_are_in_one_file(path: Path) -> None:
    if path != SOURCE / "ext" / "race" / "internals.hpp":
        assert not [name for name in includes_of(path) if name.startswith("internal/")]


@pytest.mark.parametrize("path", sorted((SOURCE / "ext").rglob("*.*pp")), ids=from_source)
def test_the_extension_includes_of_ours_only_itself_and_the_core(path: Path) -> None:
    ours = [name for name in includes_of(path) if (SOURCE / name).exists() or (path.parent / name).exists()]
    assert not [name for name in ours if not name.startswith(("core/", "ext/"))]
