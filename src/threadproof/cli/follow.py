"""Runs a program that subprocess has started, under the detector; race/subprocesses.py puts it there.

    python -m threadproof.cli.follow FOLDER (script.py | -m module | -c code) [arguments]

The findings go into FOLDER, whose SETTINGS file has the settings of the parent's session. Nothing else
differs from the program alone.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from threadproof.cli import Parser, program
from threadproof.race import SelfTestError, UnsupportedError
from threadproof.race.children import SETTINGS, watch_this_process


def main() -> int:
    folder, *words = sys.argv[1:]
    parser = Parser(prog="threadproof.cli.follow")
    program.add_arguments(parser)
    target = program.Program(parser.parse_args(words))
    forget_follower()
    try:
        settings = json.loads(Path(folder, SETTINGS).read_text(encoding="utf-8"))
    except (OSError, ValueError):  # the parent has ended, and asks for nothing
        return target.run(lambda code: None, lambda: None, ())
    settings["roots"] += filter(None, [target.folder, program.current_folder()])
    session = watch_this_process(settings)
    if session is None:
        return target.run(lambda code: None, lambda: None, ())

    return target.run(session.know, session.note_ends, (UnsupportedError, SelfTestError))


def forget_follower() -> None:
    """sys.orig_argv as the parent has it."""
    begin = sys.orig_argv.index("-m")
    del sys.orig_argv[begin : begin + 3]


if __name__ == "__main__":
    sys.exit(main())
