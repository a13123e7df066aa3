"""Debian's Prometheus for tests, unpacked into build/ without installing it; and its Chromium."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
browser = pytest.mark.skipif(
    CHROMIUM is None, reason="there is no Chromium here (Debian: apt install chromium)"
)

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


def chromium(url: str, folder: Path, *options: str) -> str:
    """The page's document after its script has run for three seconds of its own time."""
    assert CHROMIUM is not None
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder}"]
    command += ["--virtual-time-budget=3000", "--dump-dom", *options, url]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
