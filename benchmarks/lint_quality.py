"""What `threadproof lint` finds of real bugs, and what it reports of other people's code.

`lint_bugs.json` names places where a release of a package mended its locking: the version before, the
version after, file and line. A bug is found if a report is in the function of that line; the fix is
respected if there is none in the function of the fixed line. Places that are `kept_back` were not looked at
while rules were written, and are measured once for each version. Noise is counted on the standard library and
on ten sets of packages; the last eight were first looked at when the rules of a version were set.

    python benchmarks/lint_quality.py recall     # downloads some 120 releases into build/, half an hour
    python benchmarks/lint_quality.py noise
"""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from threadproof.lint.engine import Engine
from threadproof.lint.files import discover
from threadproof.lint.options import OPTIONS
from threadproof.lint.rule import Report
from threadproof.lint.selection import Selection

FOLDER = Path("build/lint-quality")
BUGS = Path(__file__).with_name("lint_bugs.json")
# Chosen once, for their threads or for their size. The rules were tuned to be silent on these.
PACKAGES = (
    "ansible-core", "apscheduler", "azure-core", "bokeh", "distributed", "elastic-apm", "flask-socketio",
    "huey", "ipykernel", "locust", "networkx", "nltk", "prometheus-client", "python-socketio", "pyzmq", "rq",
    "scrapy", "streamlit", "werkzeug", "zeroconf",
)  # fmt: skip
# Chosen for their threads. No rule was written after them, but limits were set after reading what they gave.
THREADED = (
    "botocore", "cassandra-driver", "celery", "dash", "dask", "gunicorn", "jupyter-client", "kazoo", "luigi",
    "mitmproxy", "nicegui", "pymongo", "pyro5", "rpyc", "sphinx", "sqlalchemy", "stomp-py", "tornado",
    "urllib3",
)  # fmt: skip
# Not looked at until the rules and limits of a first version were set.
FRESH = (
    "alive-progress", "apache-libcloud", "cheroot", "diskcache", "execnet", "fsspec", "google-cloud-storage",
    "influxdb-client", "ipython", "joblib", "loky", "mlflow-skinny", "paramiko", "pexpect", "posthog",
    "pykka", "pynput", "pysmb", "robotframework", "tensorboard", "websocket-client", "zeo", "zodb",
)  # fmt: skip
# The same for a second version. Five kinds of false alarm that these showed have been mended since.
LATER = (
    "asyncua", "cherrypy", "circus", "dramatiq", "hazelcast-python-client", "hypothesis", "neo4j", "pika",
    "psycopg-pool", "pyglet", "pymysql-pool", "pyserial", "python-telegram-bot", "pyzabbix", "redis-om",
    "scapy", "supervisor", "watchdog",
)  # fmt: skip
# The same for a third version.
LATEST = (
    "buildbot", "filelock", "google-api-core", "google-auth", "gradio", "launchdarkly-server-sdk", "moto",
    "mopidy", "newrelic", "psutil", "python-can", "pywebview", "s3transfer", "selenium", "textual",
)  # fmt: skip
# The same for a fourth version. Ten kinds of false alarm that these showed have been mended since.
FOURTH = (
    "b2sdk", "breezy", "debugpy", "docker", "dulwich", "ipyparallel", "paho-mqtt", "py4j", "pymodbus",
    "sqlfluff",
)  # fmt: skip
# Looked at after that. One kind of false alarm, of a rule that is on by default, has been mended since.
FIFTH = (
    "ansible-runner", "azure-eventhub", "duplicity", "pyinfra", "python-lsp-server", "qtconsole", "streamz",
    "trino",
)  # fmt: skip
# Three more, nearly all full of threads; the eighth was measured after the mending of what the others showed.
SIXTH = (
    "amplitude-analytics", "amqpstorm", "awsiotpythonsdk", "bluesky", "google-cloud-logging", "instana",
    "libhoney", "meshtastic", "opencensus", "taskflow", "unleashclient",
)  # fmt: skip
SEVENTH = (
    "azure-iot-device", "fabric", "google-cloud-firestore", "invoke", "ophyd", "optimizely-sdk",
    "oslo-messaging", "pyro4", "qcodes",
)  # fmt: skip
EIGHTH = (
    "apache-airflow-core", "apache-beam", "deluge", "kivy", "napari", "nicotine-plus", "octoprint", "spyder",
    "streamlink", "zope-server",
)  # fmt: skip
TESTS = ("test", "tests", "testing", "idlelib", "lib2to3", "site-packages", "test_*.py")
PREVIEW = Selection(OPTIONS.read({}) | {"preview": True})
DEFAULT = Selection(OPTIONS.read({}))


@cache
def release(package: str, version: str) -> Path:
    """The folder with the sources of a release, downloaded by pip; "" is the newest version."""
    folder = FOLDER / f"{package}-{version or 'newest'}"
    if not folder.exists():
        archives = folder.with_suffix(".download")
        wanted = f"{package}=={version}" if version else package
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-build-isolation"]
        subprocess.run([*command, "-d", str(archives), wanted], check=True)
        for archive in archives.iterdir():
            unpack(archive, folder)
    return folder


def unpack(archive: Path, folder: Path) -> None:
    if archive.suffix in (".whl", ".zip"):
        with zipfile.ZipFile(archive) as packed:
            packed.extractall(folder)
        return
    with tarfile.open(archive) as packed_tar:
        packed_tar.extractall(folder, filter="data")


@cache
def reports(folder: Path) -> Sequence[Report]:
    """What the rules report of a folder with --preview."""
    found = Engine().run(list(discover([str(folder)], TESTS))).reports
    return PREVIEW.shown(found)


def function_at(path: Path, line: int) -> range:
    """The lines of the innermost function around a line."""
    best = range(line, line + 1)
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = range(node.lineno, (node.end_lineno or node.lineno) + 1)
            if line in lines and (len(best) == 1 or len(lines) < len(best)):
                best = lines
    return best


def reported(folder: Path, file: str, line: int) -> set[str]:
    """The codes of reports in the function at a place of a release."""
    path = next(folder.rglob(file))
    lines = function_at(path, line)
    return {one.code for one in reports(folder) if Path(one.path) == path and one.span.line in lines}


def recall(bugs: Iterable[dict[str, Any]]) -> None:
    counts: dict[bool, Counter[str]] = {False: Counter(), True: Counter()}
    for bug in bugs:
        try:
            before, after = release(bug["package"], bug["version"]), release(bug["package"], bug["fixed"])
        except subprocess.CalledProcessError:
            print(f"{bug['package']} {bug['version']}: cannot be downloaded")
            continue
        codes = reported(before, bug["file"], bug["line"])
        count = counts[bug.get("kept_back", False)]
        count["all"] += 1
        count["found"] += bool(codes)
        count["silent"] += not reported(after, bug["file"], bug["fixed_line"])
        place = f"{bug['package']} {bug['version']} {bug['file']}:{bug['line']}"
        print(f"{place}: {', '.join(sorted(codes)) or '-'}")
    for kept_back, count in counts.items():
        what = "kept back" if kept_back else "rules were tuned on"
        print(f"of {count['all']} bugs {what}, {count['found']} found, {count['silent']} silent once mended")


def noise() -> None:
    lines: Counter[str] = Counter()
    for group, name, folder in folders():
        paths = map(Path, discover([str(folder)], TESTS))
        size = sum(path.read_bytes().count(b"\n") for path in paths if path.exists())
        default, preview = len(DEFAULT.shown(reports(folder))), len(reports(folder))
        print(f"{name}: {size} lines, {default} findings by default, {preview} with --preview")
        lines += Counter({group: size, f"{group}, default": default, f"{group}, preview": preview})
    for group in GROUPS:
        for which in ("default", "preview"):
            rate = lines[f"{group}, {which}"] / lines[group] * 10_000
            print(f"{group}, {which}: {rate:.2f} per 10,000 lines of {lines[group]}")


GROUPS = {
    "packages": PACKAGES,
    "threaded packages": THREADED,
    "fresh packages": FRESH,
    "later packages": LATER,
    "latest packages": LATEST,
    "fourth packages": FOURTH,
    "fifth packages": FIFTH,
    "sixth packages": SIXTH,
    "seventh packages": SEVENTH,
    "eighth packages": EIGHTH,
    "standard library": (),
}


def folders() -> Iterator[tuple[str, str, Path]]:
    """Each group, package and its sources."""
    yield "standard library", "standard library", Path(sysconfig.get_path("stdlib"))
    for group, packages in GROUPS.items():
        for package in packages:
            yield group, package, release(package, "")


if __name__ == "__main__":
    if sys.argv[1:] == ["noise"]:
        noise()
    else:
        recall(json.loads(BUGS.read_text()))
