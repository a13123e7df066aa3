"""Makes a mutant in a copy of the tree, builds it there, and runs its tests."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.mutants.mutants import Mutant

ROOT = Path(__file__).parents[2]
SURVIVED = "SURVIVED"
HANGS = 90  # seconds after which a test has hung: each takes a few

COMPILE = [os.environ.get("CXX", "c++"), "-std=c++20", "-pthread", "-w", "-DTHREADPROOF_STRESS=1", "-Isrc"]


class Unbuilt(Exception):
    """A tree that does not compile shows nothing."""


def killer(mutant: Mutant) -> str:
    """The test that fails with the mutant, or SURVIVED."""
    with copied_tree() as tree:
        apply(mutant, tree)
        return failing(mutant.tests, tree)


def failing_anyway(tests: str) -> str:
    """The test that fails with no mutant at all, or SURVIVED."""
    with copied_tree() as tree:
        return failing(tests, tree)


@contextmanager
def copied_tree() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="mutant-") as scratch:
        tree = Path(scratch)
        for part in ("src", "tests"):
            shutil.copytree(ROOT / part, tree / part, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", tree)
        yield tree


def failing(tests: str, tree: Path) -> str:
    return failing_in_pytest(tests, tree) if tests.endswith(".py") else failing_natively(tests, tree)


def apply(mutant: Mutant, tree: Path) -> None:
    """Make the mistake in the tree."""
    text = mutated(mutant, tree)
    (tree / mutant.file).write_text(text)


def mutated(mutant: Mutant, tree: Path) -> str:
    """The file with the mistake, in any layout, as text; ValueError if `old` does not occur exactly once."""
    text = (tree / mutant.file).read_text()
    found = list(re.finditer(r"\s*".join(map(re.escape, "".join(mutant.old.split()))), text))
    if len(found) != 1:
        raise ValueError(f"{mutant.name}: {mutant.file} has {mutant.old!r} {len(found)} times, not once")
    return text[: found[0].start()] + mutant.new + text[found[0].end() :]


def build(tree: Path, *arguments: str) -> None:
    done = subprocess.run([*COMPILE, *arguments], cwd=tree, capture_output=True, text=True)
    if done.returncode:
        raise Unbuilt(done.stderr)


def run(command: list[str], tree: Path, **variables: str) -> tuple[int, str]:
    """The command's exit code, or -1 if it hung, and what it printed."""
    try:
        done = subprocess.run(
            command,
            cwd=tree,
            env={**os.environ, **variables},
            timeout=HANGS,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
    except subprocess.TimeoutExpired as hung:
        return -1, (hung.stdout or b"").decode(errors="replace")
    return done.returncode, done.stdout


def failing_natively(tests: str, tree: Path) -> str:
    (program,) = (tree / "tests" / "native").rglob(f"{tests}.cpp")
    build(tree, "-Itests/native", str(program), "-o", "tests.out")
    code, printed = run([str(tree / "tests.out")], tree)
    claims = re.findall(r"^[a-z_]+$", printed, re.MULTILINE)  # each is printed before it is tested
    return f"{tests}: {claims[-1] if claims else 'its beginning'}" if code else SURVIVED


def failing_in_pytest(tests: str, tree: Path) -> str:
    extension = tree / "src/threadproof" / f"_core{sysconfig.get_config_var('EXT_SUFFIX')}"
    include = f"-I{sysconfig.get_path('include')}"
    sources = [str(each.relative_to(tree)) for each in sorted((tree / "src/ext").rglob("*.cpp"))]
    build(tree, "-shared", "-fPIC", include, *sources, "-o", str(extension))
    code, printed = run(
        # -S: without this environment's packages, and so without its threadproof; pytest comes by PYTHONPATH
        [sys.executable, "-S", "-m", "pytest", "-x", "-v", "-o", "faulthandler_timeout=30", tests],
        tree,
        PYTHONPATH=f"{tree / 'src'}:{sysconfig.get_path('purelib')}",
        THREADPROOF_SEED="1",
    )
    begun = re.findall(r"^(tests/\S+::\S+)", printed, re.MULTILINE)
    if code and not begun:
        raise Unbuilt(printed)
    return begun[-1] if code else SURVIVED
