"""Prometheus' text format 0.0.4, without its client library."""

from __future__ import annotations

from collections.abc import Iterator

from threadproof.watch.export.families import Family, Labels

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def as_text(families: list[Family]) -> str:
    """All families, as a scrape wants them."""
    return "".join(f"{line}\n" for family in families for line in lines_of(family))


def lines_of(family: Family) -> Iterator[str]:
    name = f"{family.name}_total" if family.is_counter else family.name
    yield f"# HELP {name} {escaped(family.help)}"
    yield f"# TYPE {name} {'counter' if family.is_counter else 'gauge'}"
    for labels, value in family.samples:
        yield f"{name}{in_braces(labels)} {value:.17g}"


def in_braces(labels: Labels) -> str:
    pairs = ",".join(f'{name}="{quoted(value)}"' for name, value in labels.items())
    return f"{{{pairs}}}" if pairs else ""


def escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n")


def quoted(text: str) -> str:
    return escaped(text).replace('"', r"\"")
