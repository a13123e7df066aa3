"""The `threadproof` command: a table of commands, and what they share.

A command is one module in this package and one row in COMMANDS. The module has `add_arguments(parser)` and
`run(args) -> int`, and is imported only when its command is asked for.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import version
from typing import NoReturn

COMMANDS = {
    "bench": "measure maps against dict, dict with a lock, and other packages",
    "demo": "build a concordance of a source tree with threads that share one map",
    "race": "run a program and report its data races",
}

USAGE_ERROR = 2
INTERRUPTED = 130  # 128 + SIGINT, as shells say it
OUTPUT_CLOSED = 141  # 128 + SIGPIPE: whoever read our output has gone, as `head` does


class UsageError(Exception):
    """What was asked for cannot be done; the message is the one line that says why."""


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(USAGE_ERROR, f"{self.prog}: {message}; see `{self.prog} --help`\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command that argv names and return its exit code; argv is the process's own unless given."""
    chosen = command_parser().parse_args(argv)
    parser = Parser(prog=f"threadproof {chosen.command}", description=COMMANDS[chosen.command])
    try:
        command = import_module(f"threadproof.cli.{chosen.command}")
        command.add_arguments(parser)
        code: int = command.run(parser.parse_args(chosen.arguments))
        sys.stdout.flush()
        return code
    except UsageError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return USAGE_ERROR
    except KeyboardInterrupt:
        print(f"\n{parser.prog}: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what is flushed at exit
        return OUTPUT_CLOSED


def command_parser() -> Parser:
    width = max(map(len, COMMANDS))
    rows = "\n".join(f"  {name:{width}}  {summary}" for name, summary in COMMANDS.items())
    parser = Parser(
        prog="threadproof",
        description="Concurrent maps for threaded Python, and the tools that prove a threaded program right.",
        epilog=f"commands:\n{rows}\n\n`threadproof <command> --help` says what a command takes.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"threadproof {version('threadproof')}")
    parser.add_argument("command", choices=COMMANDS, metavar="command", help="one of the commands below")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="the command's own arguments")
    return parser
