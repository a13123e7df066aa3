"""Rule: one kind of mistake that a tool can report, as a value."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from threadproof.findings.model import Finding, Place, Severity, Step


@dataclass(frozen=True)
class Rule:
    """A kind of mistake, its severity, and the fix.

    `message` is one line, in which `{names}` in braces are filled in for each finding. `explanation` is a
    paragraph: what happens, and when it is harmless. `tags` are classifications by others, such as
    "CWE-362" (cwe.mitre.org).
    """

    name: str
    severity: Severity
    message: str
    fix: str = ""
    explanation: str = ""
    url: str = ""
    tags: Sequence[str] = ()

    @property
    def summary(self) -> str:
        """The message for no particular finding: `{variable}` becomes "a variable"."""
        return re.sub(
            r"\{(\w+)\}", lambda name: f"{'an' if name[1][0] in 'aeiou' else 'a'} {name[1]}", self.message
        )

    def finding(
        self,
        place: Place,
        *,
        subject: str = "",
        steps: Sequence[Step] = (),
        why: str = "",
        times: int = 1,
        identity: str = "",
        variable_id: str = "",
        causes: Sequence[str] = (),
        **names: object,
    ) -> Finding:
        """A finding of this rule; `names` are filled into the message."""
        return Finding(
            rule=self.name,
            severity=self.severity,
            message=self.message.format(**names),
            place=place,
            steps=steps,
            why=why,
            fix=self.fix,
            times=times,
            subject=subject,
            identity=identity,
            variable=variable_id,
            causes=causes,
        )


def with_article(noun: str) -> str:
    return f"{'an' if noun[0].lower() in 'aeiou' else 'a'} {noun}"
