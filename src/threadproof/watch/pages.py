"""The runbooks: a page in docs/runbooks/ for each check, made from its docstring and its limits."""

from __future__ import annotations

import math
from pathlib import Path

from threadproof.findings.pages import write_pages
from threadproof.watch.checks import CHECKS, Check
from threadproof.watch.checks.check import RUNBOOKS

MADE_BY = "Made by `python -m threadproof.watch.pages`, from the docstrings of the checks."


def page(check: Check) -> str:
    """One check's runbook in Markdown."""
    first, _, rest = check.page.strip().partition("\n\n")
    return f"# {check.name}\n\n{first}\n\n{facts(check)}\n\n{rest}\n"


def facts(check: Check) -> str:
    limits = check.limits
    rows = {
        "level": check.unit,
        "warning from": figure(limits.warn),
        "error from": "never" if math.isinf(limits.critical) else figure(limits.critical),
        "ends below": figure(limits.clear * limits.warn),
        "samples": f"at least {limits.samples}",
        "in a row": f"{limits.times} evaluations" if limits.times > 1 else "one evaluation",
        "judges": f"from {figure(limits.least)} {check.least}" if check.least else "always",
        "reads": fields_of(check),
    }
    return "\n".join(["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows.items())])


def fields_of(check: Check) -> str:
    needed = ", ".join(f"`{name}`" for name in sorted(check.needs))
    one = " or ".join(f"`{name}`" for name in sorted(check.any_of))
    return ", ".join(filter(None, [needed, one]))


def figure(value: float) -> str:
    return f"{value:,.10g}"


def files() -> dict[str, str]:
    """{file name: text} of the pages, and of a table of them all."""
    made = {f"{check.name}.md": page(check) for check in CHECKS}
    rows = [f"| [{check.name}]({check.name}.md) | {first_line(check)} | {check.fix} |" for check in CHECKS]
    head = ["| check | finding | remedy |", "|---|---|---|"]
    made["README.md"] = "\n".join(["# Runbooks of the health checks", "", MADE_BY, "", *head, *rows, ""])
    return made


def first_line(check: Check) -> str:
    return " ".join(check.page.strip().partition("\n\n")[0].split()).rstrip(".")


if __name__ == "__main__":
    write_pages(Path(RUNBOOKS), files())
