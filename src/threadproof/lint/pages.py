"""The pages of the rules: on the terminal, in an editor, and in docs/lint/."""

from __future__ import annotations

from pathlib import Path

from threadproof.findings.options import OptionError
from threadproof.findings.pages import write_pages
from threadproof.lint.rule import LintRule
from threadproof.lint.selection import Selection

MADE_BY = "Made by `python -m threadproof.lint.pages`, from the docstrings of the rules."
GROUPS = {"default": "on by default", "preview": "on with --preview", "optional": "on if selected"}
NOTHING_CHOSEN = {
    "preview": False,
    "select": None,
    "extend_select": (),
    "ignore": (),
    "extend_ignore": (),
    "per_file_ignores": (),
    "min_confidence": None,
}


def explain(word: str) -> str:
    """The pages of the rules that a code, its beginning, or a name stands for, or OptionError."""
    selection = Selection(NOTHING_CHOSEN)
    if word.upper() in selection.rules:
        return page(selection.rules[word.upper()])
    codes = selection.expand([word])
    if not codes:
        raise OptionError(f"there is no rule {word!r}")
    return "\n\n".join(page(selection.rules[code]) for code in sorted(codes))


def page(rule: LintRule) -> str:
    """One rule's page in Markdown."""
    fix = f"; {rule.fix_safety} fix" if rule.fix is not None else ""
    facts = f"{rule.severity}, {GROUPS[rule.group]}, since {rule.since}, CWE-{rule.cwe}{fix}"
    return f"# {rule.code} {rule.name}\n\n*{facts}*\n\n{rule.page}\n"


def files() -> dict[str, str]:
    """{file name: text} of the pages. Their examples are parts of programs, and not marked to be run."""
    rules = Selection(NOTHING_CHOSEN).rules.values()
    made = {f"{rule.code}.md": page(rule).replace("```python", "```py") for rule in rules}
    head = "| code | name | message | severity | when it runs | fix |\n|---|---|---|---|---|---|\n"
    table = head + "".join(map(row, rules))
    made["README.md"] = f"# The linter's rules\n\n{MADE_BY}\n\n{table}"
    return made


def row(rule: LintRule) -> str:
    fix = rule.fix_safety if rule.fix else ""
    link = f"[{rule.code}]({rule.code}.md)"
    return f"| {link} | {rule.name} | {rule.message} | {rule.severity} | {GROUPS[rule.group]} | {fix} |\n"


def listing() -> str:
    """All rules, a line each."""
    rules = Selection(NOTHING_CHOSEN).rules.values()
    width = max(len(rule.name) for rule in rules)
    return "\n".join(
        f"{rule.code:7} {rule.name:{width}}  {rule.severity!s:8} {rule.group:9} "
        f"{'fix' if rule.fix else '   '}  {rule.message}"
        for rule in rules
    )


if __name__ == "__main__":
    write_pages(Path("docs/lint"), files())
