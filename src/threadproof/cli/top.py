"""`threadproof top`: the maps, locks and pools of a running program, and what is wrong with them.

threadproof top 4711                     a process that was started with THREADPROOF_WATCH=1
threadproof top http://127.0.0.1:8123    a program that calls threadproof.watch.serve()
threadproof top 4711 --once --json       for scripts
threadproof top 4711 --record FILE       the same, and FILE has the session
threadproof top --replay FILE            that session again; a comma and a full stop step through it
"""

from __future__ import annotations

import argparse
import json
import os
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from threadproof.cli import UsageError
from threadproof.findings import ExitCode
from threadproof.watch.top.client import UnreachableError, client_of
from threadproof.watch.top.recording import Recorder, RecordingError, Source, read_session
from threadproof.watch.top.rows import Row, Rows
from threadproof.watch.top.text import as_text

MIXED = True
EXIT_CODES = {
    ExitCode.OK: "shown",
    ExitCode.USAGE: "the program does not answer, or the screen needs threadproof[live]",
    ExitCode.FOUND: "with --once: a check has found an error",
    ExitCode.INTERRUPTED: "interrupted",
}
TOKEN = "THREADPROOF_TOKEN"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "target", metavar="PID|URL", nargs="?", help="a process of yours, or the address of a server"
    )
    parser.add_argument(
        "--token", default=os.environ.get(TOKEN), help=f"the server's token (default: {TOKEN})"
    )
    parser.add_argument("--once", action="store_true", help="print the table and end")
    parser.add_argument("--json", action="store_true", help="with --once: print it as JSON")
    parser.add_argument("--interval", type=float, default=2.0, metavar="S", help="seconds (default: 2)")
    parser.add_argument("--record", type=Path, metavar="FILE", help="write all answers to a new file")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="show a recorded session, and no program")


def run(args: argparse.Namespace) -> int:
    if args.json and not args.once:
        raise UsageError("--json is for --once")
    if not args.interval > 0:
        raise UsageError(f"--interval must be more than 0 seconds, got {args.interval}")
    if (args.target is None) == (args.replay is None):
        raise UsageError("give the number of a process, or a URL, or --replay FILE without them")
    if args.replay and args.record:
        raise UsageError("--record is for a program, and not for --replay")
    try:
        return replay(args) if args.replay else follow(args)
    except (UnreachableError, RecordingError) as error:
        raise UsageError(str(error)) from None


def follow(args: argparse.Namespace) -> int:
    source: Source = client_of(args.target, args.token)
    if args.record:
        source = Recorder(source, args.record)
    return once(source, args.json) if args.once else live(source, args.interval)


def replay(args: argparse.Namespace) -> int:
    session = read_session(args.replay)
    if not args.once:
        screen().Replay(session, args.interval).run()
        return ExitCode.OK
    last = len(session.answers) - 1
    return show(session.rows(last), session.answers[last].answer, args.json)


def once(source: Source, as_json: bool) -> int:
    answer = source.fetch()
    return show(Rows().add(answer), answer, as_json)


def show(rows: list[Row], answer: dict[str, Any], as_json: bool) -> int:
    if as_json:
        found = {"structures": [asdict(row) for row in rows], "findings": answer["findings"]}
        print(json.dumps({**found, "process": answer["process"]}, indent=1))
    else:
        print(as_text(rows, answer))
    errors = [each for each in answer["findings"] if each["severity"] == "error"]
    return ExitCode.FOUND if errors else ExitCode.OK


def live(source: Source, interval: float) -> int:
    source.fetch()  # so that a program that does not answer is an error before the screen changes
    screen().Top(source, interval).run()
    return ExitCode.OK


def screen() -> ModuleType:
    try:
        return import_module("threadproof.watch.top.screen")
    except ImportError:
        raise UsageError("the screen needs textual: pip install 'threadproof[live]', or use --once") from None
