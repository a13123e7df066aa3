"""`threadproof top`: a program is found, and its structures are shown as text, as JSON and on a screen."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from textual.widgets import DataTable, Static

from threadproof.cli import main
from threadproof.findings import ExitCode
from threadproof.stats import Registry
from threadproof.watch import addresses, serve
from threadproof.watch.top.client import Client, UnreachableError, client_of
from threadproof.watch.top.recording import Recorder, RecordingError, read_session
from threadproof.watch.top.rows import Rows
from threadproof.watch.top.screen import Replay, Top
from threadproof.watch.top.text import as_text, number

PROGRAM = """
import sys
from threadproof import HashMap
from threadproof.stats import watch
sessions = watch("sessions", HashMap(a=1, b=2))
print("ready", flush=True)
sys.stdin.read()
"""


def answer(size: int = 10, verdict: str = "ok") -> dict[str, Any]:
    stats = {"size": size, "read_hits": 75, "misses": 25, "lock_waits": 10 * size}
    return {
        "process": {"threads": 3, "retired_bytes": 2048},
        "structures": {
            "sessions": {"kind": "SyncMap", "stats": stats},
            "lock": {"kind": "RWLock", "stats": {"waiting": 1}},
        },
        "findings": [{"severity": verdict, "check": "leak", "message": "sessions grows"}]
        if verdict != "ok"
        else [],
        "verdicts": [{"check": "leak", "structure": "sessions", "verdict": verdict, "level": 1.0}],
    }


# --- rows ---


def test_rates_come_from_two_answers() -> None:
    rows = Rows()
    first = {row.name: row for row in rows.add(answer(10), 100.0)}
    assert (first["sessions"].growth, first["sessions"].waits, first["sessions"].hits) == (None, None, 0.75)
    second = {row.name: row for row in rows.add(answer(30), 110.0)}
    assert (second["sessions"].growth, second["sessions"].waits) == (2.0, 20.0)
    assert second["sessions"].trend == "▁█"
    assert (second["lock"].size, second["lock"].verdict) == (1, "unknown")


def test_the_worst_come_first_and_the_text_fits_80_columns() -> None:
    shown = answer(123_456_789, "error")
    shown["structures"]["a" * 70] = shown["structures"]["lock"]
    rows = Rows().add(shown)
    assert rows[0].name == "sessions"
    text = as_text(rows, shown)
    assert max(map(len, text.splitlines())) <= 80
    assert "123.5M" in text
    assert "error: leak: sessions grows" in text


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, ""), (7, "7"), (0.25, "0.2"), (-12.5, "-12.5"), (99_999, "99999"), (123_456, "123.5k")],
)
def test_numbers_are_short(value: float | None, text: str) -> None:
    assert number(value) == text


# --- programs ---


@pytest.fixture
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    return tmp_path


@contextmanager
def program() -> Iterator[int]:
    """A program that was started with THREADPROOF_WATCH=1; its process's number."""
    environment = {**os.environ, "THREADPROOF_WATCH": "1"}
    command = [sys.executable, "-c", PROGRAM]
    process = subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    with process:
        assert process.stdout.readline() == "ready\n"
        yield process.pid
        process.stdin.close()
    assert process.returncode == 0


def test_a_process_that_serves_from_the_start_is_found_by_its_number(
    runtime: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with program() as number_:
        assert main(["top", str(number_), "--once", "--json"]) == ExitCode.OK
        found = json.loads(capsys.readouterr().out)
        (sessions,) = (row for row in found["structures"] if row["name"] == "sessions")
        assert (sessions["kind"], sessions["size"]) == ("HashMap", 2)
        assert main(["top", str(number_), "--once"]) == ExitCode.OK
        assert "sessions             HashMap           2" in capsys.readouterr().out
        path = runtime / "threadproof" / str(number_)
        assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
        url, token = addresses.read(number_)
        with pytest.raises(UnreachableError, match="answers 401 Unauthorized; give it with --token"):
            Client(url).fetch()
        assert token
    assert not path.exists()  # it goes with the process
    assert main(["top", str(number_), "--once"]) == ExitCode.USAGE
    assert f"process {number_} is not known to serve" in capsys.readouterr().err


def test_a_folder_that_others_can_read_is_refused(runtime: Path) -> None:
    (runtime / "threadproof").mkdir(mode=0o755)
    with pytest.raises(PermissionError, match="belongs to another user, or others can read it"):
        addresses.write("http://127.0.0.1:1", "token")
    with pytest.raises(UnreachableError, match="is not known to serve"):
        client_of("1", None)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["127.0.0.1:1", "--once"], "http://127.0.0.1:1 does not answer: "),
        (["127.0.0.1:1"], "http://127.0.0.1:1 does not answer: "),
        (["127.0.0.1:1", "--json"], "--json is for --once"),
        ([], "give the number of a process, or a URL, or --replay FILE without them"),
        (["127.0.0.1:1", "--replay", "session"], "give the number of a process, or a URL, or --replay FILE"),
        (["--replay", "session", "--record", "other"], "--record is for a program, and not for --replay"),
        (["--replay", "/nothing"], "/nothing cannot be read: "),
        (["127.0.0.1:1", "--record", "/nothing/here"], "/nothing/here cannot be made: No such file"),
        (["127.0.0.1:1", "--interval", "0"], "--interval must be more than 0 seconds, got 0.0"),
    ],
)
def test_an_error_is_one_line(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["top", *arguments]) == ExitCode.USAGE
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1


def test_an_error_of_a_check_is_the_exit_code() -> None:
    class Ill:
        def fetch(self) -> dict[str, Any]:
            return answer(1, "error")

    from threadproof.cli.top import once

    assert once(Ill(), False) == ExitCode.FOUND  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


# --- the screen ---


class Fixed(Client):
    """Answers without a program."""

    def fetch(self) -> dict[str, Any]:
        return answer(10, "error")


def on_screen(steps: Callable[[Top, Any], Any]) -> None:
    async def run() -> None:
        app = Top(Fixed("http://a"), interval=3600)
        async with app.run_test(size=(80, 24)) as pilot:
            await app.workers.wait_for_complete()
            await pilot.pause()
            await steps(app, pilot)

    asyncio.run(run())


def names(app: Top) -> list[str]:
    table: DataTable[Any] = app.query_one(DataTable)
    return [str(table.get_row_at(index)[0]) for index in range(table.row_count)]


def test_the_screen_shows_the_table_and_the_findings_on_80_by_24() -> None:
    async def steps(app: Top, pilot: Any) -> None:
        assert names(app) == ["sessions", "lock"]
        assert app.query_one("#findings", Static).region.bottom <= 24
        assert app.findings() == ["error: leak: sessions grows"]

    on_screen(steps)


def test_keys_sort_filter_pause_and_show_details() -> None:
    async def steps(app: Top, pilot: Any) -> None:
        await pilot.press("s")
        assert (app.sorted_by, names(app)) == ("name", ["lock", "sessions"])
        await pilot.press("f", "r", "w", "l")
        assert names(app) == ["lock"]
        await pilot.press("enter", "d")
        assert app.query_one("#details").display
        await pilot.press("p")
        assert app.paused

    on_screen(steps)


def test_a_server_of_this_process_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    with serve(watched=Registry(), token="right") as server:
        assert main(["top", server.url, "--once", "--token", "right"]) == ExitCode.OK
    assert "threads" in capsys.readouterr().out


# --- recorded sessions ---


class Growing:
    """A program whose map has ten more keys at each answer."""

    url = "http://a"
    size = 0

    def fetch(self) -> dict[str, Any]:
        self.size += 10
        return answer(self.size, "error" if self.size > 20 else "ok")


@pytest.fixture
def session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three answers, two seconds apart."""
    times = iter((1000.0, 1002.0, 1004.0))
    monkeypatch.setattr("threadproof.watch.top.recording.time.time", lambda: next(times))
    path = tmp_path / "session"
    recorder = Recorder(Growing(), path)
    for _ in range(3):
        recorder.fetch()
    return path


def test_a_session_is_replayed_with_its_own_times(session: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert session.stat().st_mode & 0o777 == 0o600
    recorded = read_session(session)
    assert recorded.url == "http://a"
    shown = [{row.name: row for row in recorded.rows(position)}["sessions"] for position in range(3)]
    assert [row.size for row in shown] == [10, 20, 30]
    assert [row.growth for row in shown] == [None, 5.0, 5.0]
    assert shown[2].trend == "▁▅█"
    assert main(["top", "--replay", str(session), "--once", "--json"]) == ExitCode.FOUND
    (row,) = (
        each for each in json.loads(capsys.readouterr().out)["structures"] if each["name"] == "sessions"
    )
    assert (row["size"], row["growth"], row["verdict"]) == (30, 5.0, "error")


def test_a_session_that_was_killed_is_replayed_up_to_there(session: Path) -> None:
    text = session.read_text()
    session.write_text(text[:-20])
    assert [each.time for each in read_session(session).answers] == [1000.0, 1002.0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is no session"),
        ("{}\n", "is no session"),
        ("no JSON\n", "is no session"),
        ('{"format":"threadproof top","version":2,"url":""}\n', "is no session .* version 1"),
        ('{"format":"threadproof top","version":1,"url":""}\n', "has no answer of the program"),
        ('{"format":"threadproof top","version":1,"url":""}\n[]\n', "is no session"),
    ],
)
def test_another_file_is_refused(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "session"
    path.write_text(text)
    with pytest.raises(RecordingError, match=message):
        read_session(path)


def test_a_file_that_is_there_is_not_replaced(session: Path) -> None:
    before = session.read_text()
    with pytest.raises(RecordingError, match="is there already"):
        Recorder(Growing(), session)
    assert session.read_text() == before


def test_a_program_is_recorded_while_it_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "session"
    with serve(watched=Registry()) as server:
        assert main(["top", server.url, "--once", "--record", str(path)]) == ExitCode.OK
    live = capsys.readouterr().out
    assert main(["top", "--replay", str(path), "--once"]) == ExitCode.OK
    assert capsys.readouterr().out == live


def test_the_screen_steps_through_a_session(session: Path) -> None:
    async def run() -> None:
        app = Replay(read_session(session), interval=3600)
        async with app.run_test(size=(80, 24)) as pilot:
            await pilot.pause()
            assert [row.size for row in app.shown if row.name == "sessions"] == [10]
            assert "1 of 3, " in app.state()
            await pilot.press("full_stop", "full_stop", "full_stop")
            assert [row.growth for row in app.shown if row.name == "sessions"] == [5.0]
            assert app.findings() == ["error: leak: sessions grows"]
            await pilot.press("comma")
            assert app.state().startswith("paused, 2 of 3, ")
            await pilot.press("p")
            app.ask()
            assert "3 of 3, " in app.state()

    asyncio.run(run())
