"""Findings of child processes: each leaves them in a folder of its parent, whose report has them all.

A forked child has the detector as its parent had it. One that multiprocessing spawns, or that its fork server
makes, is told to watch by the data that its parent prepares for it. Programs that are started in any other
way are not followed, except those of subprocess if that is wanted (see subprocesses.py).
"""

from __future__ import annotations

import atexit
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Generator, Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from threadproof.findings import Finding
from threadproof.findings.formats.json import from_object, json_object
from threadproof.probe import Scope, SelfTestError, UnsupportedError, library
from threadproof.probe.instrumentation import suspended
from threadproof.probe.library.rows import Row
from threadproof.race.endings import before_quick_ends
from threadproof.race.session import Session
from threadproof.race.subprocesses import Subprocesses

SETTINGS = "settings.json"  # for the programs that subprocess starts
Settings = dict[str, Any]


class Children:
    """The folder into which child processes of this one put their findings."""

    def __init__(self, settings: Settings) -> None:
        """`settings`: roots, include, exclude, history, sample, order_io, strict of the session; follower."""
        self.process = os.getpid()
        self.folder = tempfile.mkdtemp(prefix="threadproof-")
        self.settings: Settings = {**settings, "folder": self.folder}

    def follow(self) -> None:
        """From now on, what multiprocessing starts is watched, and subprocess if there is a follower."""
        library.add(Row("multiprocessing.spawn", "get_preparation_data", generator=self.preparing))
        if self.settings["follower"]:
            Path(self.folder, SETTINGS).write_text(json.dumps(self.settings), encoding="utf-8")
            library.add(Subprocesses(self.folder, self.settings["follower"]))

    def preparing(self, name: str) -> Generator[None, Any]:
        data = yield
        if os.path.isdir(self.folder):
            data["threadproof"] = Follow(self.settings)

    def collect(self) -> list[Finding]:
        """The findings that children have left; the folder is removed."""
        found = []
        for path in sorted(Path(self.folder).glob("[0-9]*.json")):
            try:
                found += [from_object(each) for each in json.loads(path.read_text(encoding="utf-8"))]
            except (OSError, ValueError):
                continue  # the child was killed while it wrote
        shutil.rmtree(self.folder, ignore_errors=True)
        return found


def save(findings: Iterable[Finding], folder: str) -> None:
    """Leave the findings of this process to its parent; replaces what it has left before."""
    text = json.dumps([json_object(finding) for finding in findings])
    with suppress(OSError):  # the parent has ended, and asks for nothing
        Path(folder, f"{os.getpid()}.json").write_text(text, encoding="utf-8")


def merged(findings: Iterable[Finding]) -> list[Finding]:
    """One for those with the same fingerprint, rule and file, which stands for all of them."""
    known: dict[tuple[str, str, str], Finding] = {}
    for finding in findings:
        key = finding.fingerprint(), finding.rule, finding.place.file
        times = known[key].times if key in known else 0
        known[key] = replace(known.get(key, finding), times=times + finding.times)
    return sorted(known.values(), key=lambda each: (-each.severity, each.place.file, each.place.line))


class Follow:
    """Watches the process in which it is unpickled."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def __reduce__(self) -> tuple[Callable[[Settings], object], tuple[Settings]]:
        return watch_this_process, (self.settings,)


def watch_this_process(settings: Settings) -> Session | None:
    """Watch it to its end; None if that is not possible."""
    if Session.running:
        return None
    scope = Scope(settings["roots"], settings["include"], settings["exclude"])
    session = Session(scope, **{name: settings[name] for name in ("history", "sample", "order_io")})
    try:
        session.start()
    except (UnsupportedError, SelfTestError):
        return None  # the parent has reported the same, or has none
    if settings["follower"]:
        library.add(Subprocesses(settings["folder"], settings["follower"]))

    def leaving(code: int = 0) -> int:
        with suspended():
            save(session.findings(settings["strict"]), settings["folder"])
        return code

    atexit.register(leaving)
    before_quick_ends(leaving)
    return session
