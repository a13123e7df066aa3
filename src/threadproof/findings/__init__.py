"""Findings: the reports of a tool about a program, in the same form for every tool of this package.

A tool (the race detector, the linter, the health checks) is a value:

    MINE = Tool(Options("mine", [Option("depth", "how many calls are followed", number, 3)]), RULES, "1.0")

`RULES` are Rules; `rule.finding(place, ...)` makes a Finding. `Options` reads the options from the command
line, from THREADPROOF_MINE, from pytest's configuration and from pyproject.toml. `Reporter(MINE, values)`
marks suppressed findings, prints the report, writes the files that the options name, and has the exit code.

    model       Finding, Step, Place, Severity
    rule        Rule
    options     Option and Options; the options that all tools share
    suppress    comments in the source, files of suppressions, baselines
    tool        Tool
    reporter    Reporter
    exit_codes  the exit codes of all commands
    formats     one module for each output format

Nothing here imports another part of threadproof, so tools work even if the extension is not built. Code that
makes findings needs only this module; the other modules cost more to import.
"""

from threadproof.findings.exit_codes import ExitCode
from threadproof.findings.model import Finding, Place, Severity, Step, Suppressed, summary
from threadproof.findings.rule import Rule

__all__ = ["ExitCode", "Finding", "Place", "Rule", "Severity", "Step", "Suppressed", "summary"]
