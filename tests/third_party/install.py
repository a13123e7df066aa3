"""Installs the dependency group third-party, pinned in pyproject.toml, into a folder of its own below build.

    python -m tests.third_party.install

It takes half a minute the first time, and nothing afterwards.
"""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
GROUP = "third-party"


def pinned() -> list[str]:
    with (ROOT / "pyproject.toml").open("rb") as file:
        group: list[str] = tomllib.load(file)["dependency-groups"][GROUP]
    return group


def folder() -> Path:
    return ROOT / "build" / "third-party" / (sysconfig.get_config_var("EXT_SUFFIX") or "any").strip(".")


def is_installed() -> bool:
    stamp = folder() / "group.txt"
    return stamp.exists() and stamp.read_text().splitlines() == pinned()


def install() -> None:
    if is_installed():
        return
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--upgrade", "--target", str(folder())]
    subprocess.run([*command, "--only-binary=:all:", *pinned()], check=True)
    (folder() / "group.txt").write_text("\n".join(pinned()))


if __name__ == "__main__":
    install()
