"""`threadproof top`: the maps, locks and pools of a running program, and what is wrong with them.

threadproof top 4711                     a process that was started with THREADPROOF_WATCH=1
threadproof top http://127.0.0.1:8123    a program that calls threadproof.watch.serve()
threadproof top 4711 --once --json       for scripts
"""

from __future__ import annotations

import argparse
import json
import os
from dataclasses import asdict

from threadproof.cli import UsageError
from threadproof.findings import ExitCode
from threadproof.watch.top.client import Client, UnreachableError, client_of
from threadproof.watch.top.rows import Rows
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
    parser.add_argument("target", metavar="PID|URL", help="a process of yours, or the address of a server")
    parser.add_argument(
        "--token", default=os.environ.get(TOKEN), help=f"the server's token (default: {TOKEN})"
    )
    parser.add_argument("--once", action="store_true", help="print the table and end")
    parser.add_argument("--json", action="store_true", help="with --once: print it as JSON")
    parser.add_argument("--interval", type=float, default=2.0, metavar="S", help="seconds (default: 2)")


def run(args: argparse.Namespace) -> int:
    if args.json and not args.once:
        raise UsageError("--json is for --once")
    if not args.interval > 0:
        raise UsageError(f"--interval must be more than 0 seconds, got {args.interval}")
    try:
        client = client_of(args.target, args.token)
        return once(client, args.json) if args.once else live(client, args.interval)
    except UnreachableError as error:
        raise UsageError(str(error)) from None


def once(client: Client, as_json: bool) -> int:
    answer = client.fetch()
    rows = Rows().add(answer)
    if as_json:
        found = {"structures": [asdict(row) for row in rows], "findings": answer["findings"]}
        print(json.dumps({**found, "process": answer["process"]}, indent=1))
    else:
        print(as_text(rows, answer))
    errors = [each for each in answer["findings"] if each["severity"] == "error"]
    return ExitCode.FOUND if errors else ExitCode.OK


def live(client: Client, interval: float) -> int:
    client.fetch()  # so that a program that does not answer is an error before the screen changes
    try:
        from threadproof.watch.top.screen import Top
    except ImportError:
        raise UsageError("the screen needs textual: pip install 'threadproof[live]', or use --once") from None
    Top(client, interval).run()
    return ExitCode.OK
