"""Debian's Prometheus for tests: unpacked into build/, without installing it."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "build" / "prometheus"


@cache
def tool(name: str) -> str | None:
    """The path of `prometheus` or `promtool`; None where there is none, and none can be had."""
    unpacked = FOLDER / "usr" / "bin" / name
    if shutil.which("apt-get") and shutil.which("dpkg-deb"):
        FOLDER.mkdir(parents=True, exist_ok=True)
        with (FOLDER / ".lock").open("w") as lock:  # tests run in several processes
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not unpacked.exists():
                fetch()
    return str(unpacked) if unpacked.exists() else shutil.which(name)


def fetch() -> None:
    download = ["apt-get", "-qq", "download", "prometheus"]
    if run(download) != 0 and (run(["apt-get", "-qq", "update"]) != 0 or run(download) != 0):
        return
    for package in FOLDER.glob("prometheus_*.deb"):
        run(["dpkg-deb", "-x", str(package), str(FOLDER)])
        package.unlink()


def run(command: list[str]) -> int:
    return subprocess.run(command, cwd=FOLDER, capture_output=True, check=False).returncode
