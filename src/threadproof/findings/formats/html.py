"""Findings as one HTML page that needs no server, no network and no script.

Each finding shows its main steps side by side, with the source around them and the columns marked. The other
steps and the callers are folded. The page is light or dark as the reader's system is.
"""

from __future__ import annotations

import io
import keyword
import linecache
import tokenize
from collections.abc import Iterator, Sequence
from html import escape
from itertools import count, pairwise
from pathlib import Path

from threadproof.findings.groups import by_group
from threadproof.findings.model import Finding, Place, Step, summary

AROUND = 4  # lines of source above and below the marked one: two such excerpts fit on a screen

LONGEST = 10_000  # columns: where a line inside a token ends; beyond that a line has no colour

STYLE = Path(__file__).with_name("page.css")


def as_html(findings: Sequence[Finding], title: str) -> str:
    """The whole page; the source is read from the files that the findings name."""
    groups = by_group(findings)
    findings = [finding for group in groups for finding in group]
    numbers = count(1)
    articles = "\n".join(together([article(next(numbers), finding) for finding in group]) for group in groups)
    return f"""<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>
{STYLE.read_text(encoding="utf-8")}</style>
<header><h1>{escape(title)}</h1><p>{escape(summary(findings))}</p></header>
{contents(findings)}{articles}
</html>"""


def contents(findings: Sequence[Finding]) -> str:
    """A table of contents, if there are more findings than fit on a screen."""
    if len(findings) < 3:
        return ""
    rows = "".join(
        f'<li><a href="#{number}">{escape(f.rule)}: {escape(f.subject or f.message)}</a> '
        f'<span class="at">{escape(str(f.place))}</span></li>'
        for number, f in enumerate(findings, 1)
    )
    return f"<nav><ol>{rows}</ol></nav>\n"


def together(articles: Sequence[str]) -> str:
    """The first finding of a group, and the others folded."""
    first, *others = articles
    if not others:
        return first
    title = f"and {len(others)} more like it, probably with the same cause"
    return "\n".join([first, f"<details><summary>{title}</summary>", *others, "</details>"])


def article(number: int, finding: Finding) -> str:
    tint = "suppressed" if finding.suppressed else str(finding.severity)
    sides = "".join(side(step) for step in finding.steps if step.main and step.stack)
    rest = "".join(one_line(step) for step in finding.steps if not step.main or not step.stack)
    times = f", seen {finding.times} times" if finding.times > 1 else ""
    return f"""<article class="{tint}" id="{number}">
<h2>{escape(finding.message)}</h2>
<p><span class="badge">{escape(str(finding.severity))}</span> <code>{escape(finding.rule)}</code>
<span class="at">{escape(str(finding.place))}{times}</span></p>{suppression(finding)}
<div class="sides">{sides}</div>
{f"<p><b>Why:</b> {escape(finding.why)}</p>" if finding.why else ""}
{f'<p class="fix">Fix: {escape(finding.fix)}</p>' if finding.fix else ""}
{f"<details><summary>How it came to this</summary>{rest}</details>" if rest else ""}
</article>"""


def suppression(finding: Finding) -> str:
    by = finding.suppressed
    return f'\n<p class="who">Suppressed by {escape(by.where)}: {escape(by.reason)}</p>' if by else ""


def side(step: Step) -> str:
    """A main step with its source, and its callers folded."""
    first, *callers = step.stack
    fold = (
        f"<details><summary>called from {escape(str(callers[0]))}</summary>{calls(callers)}</details>"
        if callers
        else ""
    )
    return f"""<section class="side">
<h3>{escape(step.what)}</h3>
<p class="at">{escape(str(first))}{f", in {escape(first.function)}" if first.function else ""}</p>
{excerpt(first)}
{fold}</section>"""


def one_line(step: Step) -> str:
    """A step of the history: its event, its place and its line of source."""
    first = step.stack[0] if step.stack else None
    source = f"<br><code>{escape(first.source().strip())}</code>" if first else ""
    where = f' <span class="at">{escape(str(first))}, in {escape(first.function)}</span>' if first else ""
    return f"<p>{escape(step.what)}{where}{source}</p>"


def calls(stack: Sequence[Place]) -> str:
    rows = "".join(
        f'<li><span class="at">{escape(str(place))}, in {escape(place.function)}</span>'
        f"<br><code>{escape(place.source().strip())}</code></li>"
        for place in stack
    )
    return f"<ul>{rows}</ul>"


# --- source ---


def excerpt(place: Place) -> str:
    """The lines around the place, with its columns marked; empty where there is no source."""
    lines = linecache.getlines(place.file)
    colours = colours_of(place.file)
    first, last = max(1, place.line - AROUND), min(len(lines), place.line + AROUND)
    rows = [row(number, lines[number - 1].rstrip(), place, colours) for number in range(first, last + 1)]
    return f"<pre>{''.join(rows)}</pre>" if rows else ""


Colours = dict[int, list[tuple[int, int, str]]]  # line -> [(from column, to column, CSS class)]


def row(number: int, text: str, place: Place, colours: Colours) -> str:
    """One line, cut wherever a colour or the mark begins or ends, so that the elements nest."""
    here = number == place.line
    begin, end = (place.marked() if here else None) or (0, 0)
    spans = colours.get(number, [])
    cuts = sorted({0, len(text), begin, end, *(c for a, b, _ in spans for c in (a, b) if c <= len(text))})
    pieces = [
        element(text[a:b], next((name for x, y, name in spans if x <= a < y), ""), begin <= a < end)
        for a, b in pairwise(cuts)
    ]
    return f'<span class="row{" here" if here else ""}"><i>{number}</i>{"".join(pieces) or " "}</span>'


def element(text: str, colour: str, marked: bool) -> str:
    inner = f'<span class="{colour}">{escape(text)}</span>' if colour else escape(text)
    return f"<mark>{inner}</mark>" if marked else inner


def colours_of(file: str) -> Colours:
    """Where a file has keywords, strings, numbers and comments; up to the first line that is not Python."""
    found: Colours = {}
    try:
        for token in tokenize.generate_tokens(io.StringIO("".join(linecache.getlines(file))).readline):
            for line, begin, end in lines_of(token):
                if colour := colour_of(token):
                    found.setdefault(line, []).append((begin, end, colour))
    except (tokenize.TokenError, SyntaxError):
        pass  # keep the colours of the lines before
    return found


def lines_of(token: tokenize.TokenInfo) -> Iterator[tuple[int, int, int]]:
    """(line, from column, to column) for each line of the token."""
    (first, begin), (last, end) = token.start, token.end
    for line in range(first, last + 1):
        yield line, begin if line == first else 0, end if line == last else LONGEST


def colour_of(token: tokenize.TokenInfo) -> str:
    """The CSS class of a token; empty for most."""
    if token.type == tokenize.NAME:
        return "keyword" if keyword.iskeyword(token.string) else ""
    if token.type == tokenize.STRING or tokenize.tok_name[token.type].startswith("FSTRING"):
        return "string"
    return {tokenize.NUMBER: "number", tokenize.COMMENT: "comment"}.get(token.type, "")
