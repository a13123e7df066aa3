"""Tool: a program that makes findings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from threadproof.findings.exit_codes import ExitCode
from threadproof.findings.options import Options
from threadproof.findings.rule import Rule


@dataclass(frozen=True)
class Tool:
    """A tool's options, rules and version. `found` is its exit code if a finding counts."""

    options: Options
    rules: Sequence[Rule]
    version: str
    found: int = ExitCode.FOUND

    @property
    def name(self) -> str:
        """As in `threadproof race`, in `# race: ignore` and in THREADPROOF_RACE."""
        return self.options.tool

    @property
    def title(self) -> str:
        return f"threadproof {self.name}"

    @property
    def rule_names(self) -> set[str]:
        return {rule.name for rule in self.rules}
