"""The installed package: the extension keeps the GIL off, the stub describes it, the version is one."""

import ast
import importlib.metadata
import importlib.resources
import inspect
import pkgutil
import subprocess
import sys

import pytest

import threadproof
from threadproof import _core
from threadproof.maps import (
    Cache,
    ConcurrentMap,
    HashMap,
    LockedMap,
    ShardedMap,
    Snapshot,
    SnapshotMap,
    SyncMap,
)

# What the import system adds to every module, and a stub leaves out.
IMPLIED = {"__doc__", "__file__", "__loader__", "__name__", "__package__", "__spec__"}

# These get the contract's words for the methods of their native bases when they adopt them.
ADOPTING: set[type] = {Cache, HashMap, LockedMap, ShardedMap, Snapshot, SnapshotMap, SyncMap}


def run_python(code: str) -> str:
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_importing_every_module_leaves_the_gil_as_it_was() -> None:
    modules = [found.name for found in pkgutil.walk_packages(threadproof.__path__, "threadproof.")]
    before, after = run_python(f"""
import importlib, sys
gil = getattr(sys, "_is_gil_enabled", lambda: True)
print(gil())
for module in {[module for module in modules if not module.endswith("__main__")]}:
    importlib.import_module(module)
print(gil())
""").split()
    assert after == before


def test_the_types_are_shipped() -> None:
    assert importlib.resources.files("threadproof").joinpath("py.typed").is_file()


def test_the_version_is_the_one_in_the_metadata() -> None:
    assert threadproof.__version__ == importlib.metadata.version("threadproof")


def stub(module: str = "__init__") -> ast.Module:
    return ast.parse(importlib.resources.files("threadproof").joinpath(f"_core/{module}.pyi").read_text())


def names_in(body: list[ast.stmt]) -> set[str]:
    """What a stub defines; what it imports, and what is private in it such as a type variable, is its own."""
    found = set[str]()
    for node in body:
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name):
                found.add(name)
            case ast.AnnAssign(target=ast.Name(id=name)) | ast.Assign(targets=[ast.Name(id=name)]):
                found.add(name)
    return {name for name in found if not name.startswith("_") or name.startswith("__")}


def test_the_stub_names_what_the_extension_exports() -> None:
    described = names_in(stub().body)
    submodules = {"contention", "explore", "probe", "race"} if hasattr(_core, "race") else {"probe"}
    assert described | submodules == set(vars(_core)) - IMPLIED


@pytest.mark.parametrize("name", ["probe", "race"])
def test_the_stub_of_a_submodule_names_what_it_exports(name: str) -> None:
    if not hasattr(_core, "race"):  # where the probe does not know the interpreter
        pytest.skip("there is no probe for this interpreter, and no race detector")
    module = importlib.import_module(f"threadproof._core.{name}")
    assert module is getattr(_core, name)
    assert names_in(stub(name).body) == set(vars(module)) - IMPLIED


def test_the_stub_names_every_public_method() -> None:
    for node in stub().body:
        if isinstance(node, ast.ClassDef):
            exported = {name for name in vars(getattr(_core, node.name)) if not name.startswith("_")}
            described = {name for name in names_in(node.body) if not name.startswith("_")}
            inherited = set(dir(ConcurrentMap)) if node.bases else set[str]()
            assert described <= exported, node.name
            assert exported <= described | inherited, node.name


def test_every_native_method_shows_its_signature_and_a_docstring() -> None:
    kinds = {kind for kind in vars(_core).values() if inspect.isclass(kind)}
    kinds = kinds - {base for kind in ADOPTING for base in kind.__mro__} | ADOPTING
    for kind in kinds:
        for name, member in vars(kind).items():
            if inspect.ismethoddescriptor(member) and not name.startswith("_"):
                assert member.__doc__, f"{kind.__name__}.{name}"
                inspect.signature(getattr(kind, name))  # raises where there is none
