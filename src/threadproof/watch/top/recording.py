"""A session of `threadproof top` as a file, and its replay.

The file has a line of JSON for each answer, and one before them with the version of this format. A line is
written as soon as its answer is there, so a session that was killed can be replayed up to there.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from threadproof.watch.top.rows import KEPT, Row, Rows

FORMAT = "threadproof top"
VERSION = 1


class RecordingError(Exception):
    """A file cannot be written, or is no session; the message is one line."""


class Source(Protocol):
    """Anything that has answers: a Client, or a Recorder around one."""

    @property
    def url(self) -> str: ...

    def fetch(self) -> dict[str, Any]: ...


class Recorder:
    """Writes each answer of a source to a new file, which only this user can read."""

    def __init__(self, source: Source, path: Path) -> None:
        self.source, self.path = source, path
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            raise RecordingError(f"{path} is there already; give another name, or remove it") from None
        except OSError as error:
            raise RecordingError(f"{path} cannot be made: {error.strerror}") from None
        with open(handle, "w", encoding="utf-8") as file:
            write_line(file, {"format": FORMAT, "version": VERSION, "url": source.url})

    @property
    def url(self) -> str:
        return self.source.url

    def fetch(self) -> dict[str, Any]:
        """The source's answer, after it was written."""
        answer = self.source.fetch()
        try:
            with self.path.open("a", encoding="utf-8") as file:
                write_line(file, {"time": time.time(), "answer": answer})
        except OSError as error:
            raise RecordingError(f"{self.path} cannot be written: {error.strerror}") from None
        return answer


def write_line(file: Any, record: dict[str, Any]) -> None:
    file.write(json.dumps(record, separators=(",", ":")) + "\n")


@dataclass(frozen=True)
class Recorded:
    """One answer, and its time in seconds since 1970."""

    time: float
    answer: dict[str, Any]


@dataclass(frozen=True)
class Session:
    """The answers of one program, in their order; at least one."""

    url: str
    answers: list[Recorded]

    def rows(self, position: int) -> list[Row]:
        """What the table showed at that answer: with rates and trends, from the answers before it."""
        rows, shown = Rows(), list[Row]()
        for each in self.answers[max(0, position + 1 - KEPT) : position + 1]:
            shown = rows.add(each.answer, each.time)
        return shown


def read_session(path: Path) -> Session:
    """The session in a file. A last line that is cut off is left out."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise RecordingError(f"{path} cannot be read: {error}") from None
    try:
        head = json.loads(lines[0])
        if (head["format"], head["version"]) != (FORMAT, VERSION):
            raise ValueError(f"its first line is {lines[0][:80]}")
        session = Session(head["url"], [*map(recorded, whole(lines[1:]))])
    except (ValueError, LookupError, TypeError) as error:
        raise RecordingError(
            f"{path} is no session of `threadproof top --record`, version {VERSION}: {error}"
        ) from None
    if not session.answers:
        raise RecordingError(f"{path} has no answer of the program: the session ended before the first")
    return session


def whole(lines: list[str]) -> list[str]:
    """Without a last line that is cut off, and is therefore no JSON."""
    try:
        json.loads(lines[-1]) if lines else None
    except ValueError:
        return lines[:-1]
    return lines


def recorded(line: str) -> Recorded:
    found = json.loads(line)
    return Recorded(float(found["time"]), dict(found["answer"]))
