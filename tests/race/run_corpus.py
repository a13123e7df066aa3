"""Runs programs whose races are known, each under several schedules, and counts the detector's mistakes.

    build/venv-3.14t/bin/python -m tests.race.run_corpus FOLDER... --schedules 10

A program says in its name what to expect (`race_...`, `norace_...`), or in comments at its top:

    # corpus: racy, or clean
    # package: what it uses, as pip wants it; installed into a folder of its own below build/corpus
    # race: requests/api.py:59 and :61-70, ...: where a report has to point, if it names lines

A racy program must be reported, a clean one must not; an `expected.json` may require more of a program.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
BUILD = ROOT / "build" / "corpus"
HEADER = re.compile(r"^# (\w+): (.*)$")
LINES = re.compile(r"[:/](\d+)(?:-(\d+))?\b")
FILES = re.compile(r"[\w/]+\.py")
SECONDS = 240  # a program that takes longer hangs


@dataclass(frozen=True)
class Program:
    """One program, and the expected findings."""

    path: Path
    racy: bool
    at_least: str = "note"  # the severity that a race of it has to have
    package: str = ""
    files: Sequence[str] = ()  # where a report has to point, if not anywhere
    lines: frozenset[int] = field(default_factory=frozenset)

    def judge(self, findings: Sequence[dict[str, Any]]) -> str:
        """The detector's mistakes; empty if there are none."""
        bad = [finding for finding in findings if finding["severity"] in SEVERITIES[self.at_least]]
        if not self.racy:
            return f"false: {short(bad)}" if bad else ""
        if not bad:
            return f"missed; there is {short(findings)}"
        if self.files and not any(self.pointed_at(place) for found in bad for place in places(found)):
            return f"elsewhere: {short(bad)}"
        return ""

    def pointed_at(self, place: dict[str, Any]) -> bool:
        right_file = any(place["file"].endswith(file) for file in self.files)
        return right_file and (not self.lines or place["line"] in self.lines)


SEVERITIES = {"note": ("note", "warning", "error"), "warning": ("warning", "error"), "error": ("error",)}


def places(finding: dict[str, Any]) -> list[dict[str, Any]]:
    return [finding["place"], *(place for step in finding["steps"] for place in step["stack"][:1])]


def short(findings: Sequence[dict[str, Any]]) -> str:
    shown = [f"{f['rule']} at {f['place']['file']}:{f['place']['line']}" for f in findings]
    return "; ".join(shown[:3]) or "nothing"


def programs(folder: Path) -> Iterator[Program]:
    expected = folder / "expected.json"
    classes = json.loads(expected.read_text()) if expected.exists() else {}
    for path in sorted(folder.glob("*.py")):
        says = headers(path)
        racy = says["corpus"] == "racy" if "corpus" in says else path.name.startswith("race_")
        high = racy and classes.get(path.stem.removeprefix("race_")) == "high"
        where = says.get("race", "") if racy else ""
        yield Program(
            path,
            racy,
            "error" if high else "note",
            says.get("package", ""),
            [file.removeprefix("Lib/") for file in FILES.findall(where)],
            frozenset(lines_of(where)),
        )


def headers(path: Path) -> dict[str, str]:
    """The `# name: text` lines at the top of a file, with those that go on indented below."""
    found: dict[str, str] = {}
    name = ""
    for line in path.read_text(encoding="utf-8").splitlines():
        if match := HEADER.match(line):
            name = match[1]
            found[name] = match[2]
        elif name and line.startswith("#  "):
            found[name] += " " + line.lstrip("# ")
        else:
            break
    return found


def lines_of(where: str) -> Iterator[int]:
    for match in LINES.finditer(where):
        yield from range(int(match[1]), int(match[2] or match[1]) + 1)


def install(program: Program) -> Path:
    """The folder with the package the program uses, and what that needs."""
    folder = BUILD / f"{sys.version_info[0]}.{sys.version_info[1]}" / program.path.stem
    if not folder.exists():
        command = [sys.executable, "-m", "pip", "install", "-qq", "--target", str(folder), program.package]
        subprocess.run(command, check=True)
    return folder


def is_library(package: str) -> bool:
    return "==" in package


def watch(program: Program, schedule: int, scale: str) -> list[dict[str, Any]]:
    """The findings of one run."""
    report = BUILD / f"{program.path.stem}-{os.getpid()}.json"
    report.parent.mkdir(parents=True, exist_ok=True)
    path = [str(ROOT)] + ([str(install(program))] if is_library(program.package) else [])
    named = sorted({file.split("/")[0].removesuffix(".py") for file in program.files})
    include = [f"--include={name}" for name in named if program.racy]
    command = [sys.executable, "-m", "tests.race.schedule_program", str(schedule), *include]
    subprocess.run(
        [*command, f"--json={report}", program.path],
        cwd=program.path.parent,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path), "CORPUS_SCALE": scale},
        capture_output=True,
        timeout=SECONDS,
    )
    findings: list[dict[str, Any]] = json.loads(report.read_text())["findings"]
    report.unlink()
    return findings


def run(program: Program, schedules: int, scale: str) -> list[str]:
    """What went wrong, schedule by schedule."""
    wrong = []
    for schedule in range(schedules):
        try:
            verdict = program.judge(watch(program, schedule, scale))
        except (subprocess.SubprocessError, OSError) as error:
            verdict = f"did not run: {error}"
        if verdict:
            wrong.append(f"{program.path.name}, schedule {schedule}: {verdict}")
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.race.run_corpus")
    parser.add_argument("folders", nargs="+", type=lambda name: Path(name).resolve())
    parser.add_argument("--schedules", type=int, default=10, help="runs of each program (%(default)s)")
    parser.add_argument("--only", default="", help="programs with this in their name")
    parser.add_argument(
        "--scale", default="0.02", help="CORPUS_SCALE for programs that heed it (%(default)s)"
    )
    args = parser.parse_args()
    chosen = [p for folder in args.folders for p in programs(folder) if args.only in p.path.name]
    wrong: dict[bool, int] = {True: 0, False: 0}
    for number, program in enumerate(chosen, 1):
        complaints = run(program, args.schedules, args.scale)
        wrong[program.racy] += len(complaints)
        print(f"[{number}/{len(chosen)}] {program.path.name}", *complaints, sep="\n  ", flush=True)
    racy = sum(program.racy for program in chosen)
    print(
        f"{racy} racy programs, {len(chosen) - racy} clean ones, {args.schedules} schedules each: "
        f"{wrong[True]} missed, {wrong[False]} false"
    )
    return 1 if wrong[True] or wrong[False] else 0


if __name__ == "__main__":
    sys.exit(main())
