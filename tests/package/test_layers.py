"""The arrows between the parts hold: in imports, in names of modules as strings, and in includes."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import threadproof
from tests.package.arrows import CORE, EXT, INTERNALS, NAMES_AS_DATA, PYTHON

SOURCE = Path(__file__).parents[2] / "src"
PACKAGE = SOURCE / "threadproof"
MODULES = sorted(PACKAGE.rglob("*.py"))
CPP = sorted([*(SOURCE / "core").rglob("*.*pp"), *(SOURCE / "ext").rglob("*.*pp")])


def from_source(path: Path) -> str:
    return path.relative_to(SOURCE).as_posix()


# --- Python ---


def module_of(path: Path) -> str:
    """`maps.contract` for maps/contract.py, `maps` for maps/__init__.py, `__init__` for the package's own."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts) or "__init__"


def is_module(name: str) -> bool:
    path = PACKAGE.joinpath(*name.split("."))
    return path.is_dir() or path.with_suffix(".py").exists() or path.with_suffix(".pyi").exists()


def module_in(name: str) -> str:
    """The module in a dotted name: of `threadproof.maps.HashMap` that is `threadproof.maps`."""
    while not is_module(name.partition(".")[2]) and "." in name:
        name = name.rpartition(".")[0]
    return name


def imported_in(node: ast.AST) -> Iterator[str]:
    """The full names of the modules that an import loads."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        assert node.level == 0, f"line {node.lineno}: imports are absolute here, to show where they go"
        modules = [f"{node.module}.{alias.name}" for alias in node.names]
        yield from (name if is_module(name.partition(".")[2]) else str(node.module) for name in modules)


def named_in(node: ast.AST) -> Iterator[str]:
    """The module that a string names: import_module() and sys.modules take such strings."""
    if isinstance(node, ast.Constant) and re.fullmatch(r"threadproof(\.\w+)+\.?", str(node.value)):
        yield module_in(str(node.value).rstrip("."))


def used_by(source: str, strings: bool) -> set[str]:
    """Every module of ours that the source imports, or names in a string, wherever in it that stands."""
    nodes = list(ast.walk(ast.parse(source)))
    names = {name for node in nodes for name in imported_in(node)}
    names |= {name for node in nodes for name in named_in(node)} if strings else set()
    ours = {name.partition(".") for name in names}
    return {rest or "__init__" for package, _, rest in ours if package == "threadproof"}


def against_the_arrows(module: str, source: str) -> set[str]:
    area = module.partition(".")[0]
    assert area in PYTHON, f"threadproof.{area} is a new area: give it a row in arrows.PYTHON"
    reached = PYTHON[area] | {area}
    used = used_by(source, strings=area not in NAMES_AS_DATA)
    return {name for name in used if not any(f"{name}.".startswith(f"{to}.") for to in reached)}


@pytest.mark.parametrize("path", MODULES, ids=from_source)
def test_a_module_names_only_what_its_area_reaches(path: Path) -> None:
    assert not against_the_arrows(module_of(path), path.read_text())


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("watch.checks", "import threadproof.maps"),
        ("maps.hash_map", "from threadproof import race"),
        ("maps.hash_map", "from threadproof import HashMap"),
        ("remote.map", "from threadproof.maps import HashMap"),
        ("lint.engine", "def late():\n    from threadproof._core import REMOVE"),
        ("stats.record", "import threadproof.cli.demo"),
        ("race.edges", "import sys\nmaps = sys.modules.get('threadproof.maps.chains')"),
        ("race.edges", "from importlib import import_module\nimport_module('threadproof.sync')"),
        ("race.edges", "import_module(f'threadproof.maps.{name}')"),
        ("probe.library", "ROWS = [('threadproof.maps.HashMap', 'get')]"),
        ("findings.model", "from threadproof.missing import MISSING"),
    ],
)
def test_a_name_against_the_arrows_is_seen(module: str, source: str) -> None:
    assert against_the_arrows(module, source)


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("remote.map", "from threadproof.maps.contract import ConcurrentMap"),
        ("remote.map", "from threadproof.maps import contract"),
        ("maps.hash_map", "from threadproof import _core"),
        ("cli.demo", "import threadproof"),
        ("stats.record", "import threading, threadproofer"),
        ("lint.engine", "from threadproof.findings import Rule"),
        ("lint.knowledge", "ATOMIC = {'threadproof.sync.AtomicInt'}"),
        ("race.session", "'''Uses threadproof.maps only in this sentence.'''"),
        ("race.session", "version('threadproof')"),
    ],
)
def test_a_name_along_the_arrows_is_allowed(module: str, source: str) -> None:
    assert not against_the_arrows(module, source)


# --- public names ---


def public_names() -> dict[str, list[str]]:
    """The public names of each area that exists; `__init__` only repeats some, and `_core` is private."""
    areas = [area for area in PYTHON if is_module(area) and not area.startswith("_")]
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


def includes_of(source: str) -> list[str]:
    return re.findall(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]', source, re.MULTILINE)


def folder_of(name: str) -> str:
    """`core/maps` for core/maps/hash_map/map.hpp, `ext` for ext/module.cpp."""
    parts = name.split("/")
    return "/".join(parts[:2]) if len(parts) > 2 else parts[0]


def includes_against_the_arrows(name: str, source: str) -> set[str]:
    """The includes that the file's folder does not reach, and those of ours by another name than from src."""
    folder, arrows = folder_of(name), CORE | EXT
    assert folder in arrows, f"{folder} is a new folder: give it a row in arrows.CORE or arrows.EXT"
    reached = arrows[folder] | {folder}
    return {each for each in includes_of(source) if is_against(name, each, folder, reached)}


def is_against(name: str, include: str, folder: str, reached: set[str]) -> bool:
    if include == "Python.h":
        return folder.startswith("core")
    if include.startswith(("core/", "ext/")):
        return folder_of(include) not in reached
    return (SOURCE / name).parent.joinpath(include).exists()


@pytest.mark.parametrize("path", CPP, ids=from_source)
def test_a_file_includes_only_what_its_folder_reaches(path: Path) -> None:
    assert not includes_against_the_arrows(from_source(path), path.read_text())


@pytest.mark.parametrize(
    ("name", "include"),
    [
        ("core/base/locks.hpp", '"core/maps/trie.hpp"'),
        ("core/race/detector.hpp", '"core/maps/hash_map/map.hpp"'),
        ("core/maps/trie.hpp", "<Python.h>"),
        ("core/maps/trie.hpp", '"ext/python/ref.hpp"'),
        ("core/maps/trie.hpp", '"../base/locks.hpp"'),
        ("core/maps/trie.hpp", '"map_base.hpp"'),
        ("ext/python/ref.hpp", '"ext/probe/events.hpp"'),
        ("ext/probe/events.hpp", '"ext/race/race.hpp"'),
        ("ext/race/api.cpp", '"ext/sync/rw_lock.hpp"'),
        ("ext/sync/rw_lock.cpp", '"ext/maps/turn.hpp"'),
    ],
)
def test_an_include_against_the_arrows_is_seen(name: str, include: str) -> None:
    assert includes_against_the_arrows(name, f"#include {include}\n")


@pytest.mark.parametrize(
    ("name", "include"),
    [
        ("core/race/detector.hpp", '"core/base/locks.hpp"'),
        ("core/maps/hash_map/map.hpp", '"core/maps/map_base.hpp"'),
        ("ext/maps/hash_map.cpp", "<Python.h>"),
        ("ext/sync/rw_lock.cpp", '"ext/probe/events.hpp"'),
        ("ext/module.cpp", '"ext/race/race.hpp"'),
        ("ext/maps/trie.cpp", "<vector>"),
    ],
)
def test_an_include_along_the_arrows_is_allowed(name: str, include: str) -> None:
    assert not includes_against_the_arrows(name, f"#include {include}\n")


@pytest.mark.parametrize("path", CPP, ids=from_source)
def test_cpythons_internals_are_in_one_file(path: Path) -> None:
    if from_source(path) not in INTERNALS:
        assert not [name for name in includes_of(path.read_text()) if name.startswith("internal/")]


def modules_named_by(source: str) -> set[str]:
    """The Python modules above the extension whose names are strings of the source: it would import them."""
    strings = re.findall(r'"((?:[^"\\\n]|\\.)*)"', source)
    names = {each for each in strings if re.fullmatch(r"threadproof(\.\w+)*\.?", each)}
    above = {each for each in names if not f"{each}.".startswith("threadproof._core.")}
    return {each for each in above if each.endswith(".") or is_module(each.partition(".")[2])}


@pytest.mark.parametrize("path", CPP, ids=from_source)
def test_the_extension_calls_no_python_module_above_it_by_name(path: Path) -> None:
    assert not modules_named_by(path.read_text())


def test_a_modules_name_in_a_string_is_seen_and_a_types_is_not() -> None:
    assert modules_named_by('PyImport_ImportModule("threadproof.maps.contract")')
    assert modules_named_by('std::string("threadproof.") + name')
    assert not modules_named_by('.name = "threadproof.sync.AtomicInt", "The base of threadproof.maps."')
    assert not modules_named_by('.m_name = "threadproof._core", "threadproof._core.race"')
