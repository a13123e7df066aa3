"""The `threadproof` command: a table of commands, and what they share.

A command is one module in this package and one row in COMMANDS. It has `add_arguments(parser)`,
`run(args) -> int`, and EXIT_CODES, which `--help` lists; MIXED if its paths may stand between its options.
It is imported only when its command is chosen.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from difflib import get_close_matches
from importlib import import_module
from typing import NoReturn

from threadproof import __version__
from threadproof.findings import ExitCode

COMMANDS = {
    "bench": "measure maps against dict, dict with a lock, and other packages",
    "contention": "run a program and report where its threads wait, for how long, and for whom",
    "demo": "build a concordance of a source tree with threads that share one map",
    "explore": "run a threaded test under many schedules, and explain the one that fails",
    "lint": "find races, deadlocks and broken locking in source, without running it",
    "race": "run a program and report its data races",
    "top": "watch the maps, locks and pools of a running program",
}


class UsageError(Exception):
    """The request cannot be carried out; the message is the one line that says why."""


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose errors are one line, with the option that was probably meant."""

    def error(self, message: str) -> NoReturn:
        self.exit(ExitCode.USAGE, f"{self.prog}: {message}{self.hint(message)}; see `{self.prog} --help`\n")

    def hint(self, message: str) -> str:
        """For `unrecognized arguments: --sevrity=note`: the option with the most similar name."""
        unknown = [word.partition("=")[0] for word in message.split() if word.startswith("--")]
        close = get_close_matches(unknown[0], self._option_string_actions, n=1) if unknown else []
        return f" (is it {close[0]}?)" if message.startswith("unrecognized") and close else ""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command that argv names and return its exit code; argv is the process's own unless given."""
    chosen = command_parser().parse_args(argv)
    parser = Parser(
        prog=f"threadproof {chosen.command}",
        description=COMMANDS[chosen.command],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    try:
        command = import_module(f"threadproof.cli.{chosen.command}")
        command.add_arguments(parser)
        parser.epilog = "\n\n".join(filter(None, [parser.epilog, exit_codes(command.EXIT_CODES)]))
        # Paths may stand between options, unless what follows a program's name belongs to the program.
        mixed = getattr(command, "MIXED", False)
        parse = parser.parse_intermixed_args if mixed else parser.parse_args
        code: int = command.run(parse(chosen.arguments))
        with suppress(ValueError, AttributeError):  # the command has run a program that closed it
            sys.stdout.flush()
        return code
    except UsageError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return ExitCode.USAGE
    except KeyboardInterrupt:
        print(f"\n{parser.prog}: interrupted", file=sys.stderr)
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what is flushed at exit
        return ExitCode.OUTPUT_CLOSED


def exit_codes(meanings: Mapping[int | str, str]) -> str:
    """The part of a command's help that lists its exit codes."""
    return "exit codes:\n" + table({str(code): meaning for code, meaning in meanings.items()})


def table(rows: Mapping[str, str]) -> str:
    width = max(map(len, rows))
    return "\n".join(f"  {name:{width}}  {meaning}" for name, meaning in rows.items())


def command_parser() -> Parser:
    parser = Parser(
        prog="threadproof",
        description="Concurrent maps for threaded Python, and the tools that prove a threaded program right.",
        epilog=f"commands:\n{table(COMMANDS)}\n\n`threadproof <command> --help` has its arguments.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"threadproof {__version__}")
    parser.add_argument("command", choices=COMMANDS, metavar="command", help="one of the commands below")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="the command's own arguments")
    return parser
