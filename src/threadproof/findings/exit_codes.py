"""The exit codes of all commands of threadproof."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """A command that runs a program returns the program's own exit code if none of these applies."""

    OK = 0
    WRONG_ANSWER = 1  # a structure under test returned a wrong result
    USAGE = 2  # the request cannot be carried out, and one line on stderr says why; argparse has 2, too
    TARGET_MISSED = 3  # a measured figure is outside its limit
    FOUND = 66  # a finding at or above --severity: the code of Go's race detector, which programs seldom use
    DIVERGED = 67  # a schedule could not be repeated
    INTERRUPTED = 130  # 128 + SIGINT, the shells' convention
    OUTPUT_CLOSED = 141  # 128 + SIGPIPE: the reader of our output has gone, as `head` does
