"""The records of Stats that there are."""

from __future__ import annotations

from threadproof.stats import Stats


def records() -> list[type[Stats]]:
    """All records of Stats that are defined."""
    todo, found = [Stats], dict[str, type[Stats]]()
    while todo:
        subclasses = todo.pop().__subclasses__()
        todo += subclasses
        found |= {f"{each.__module__}.{each.__qualname__}": each for each in subclasses if has_metrics(each)}
    return [found[name] for name in sorted(found)]


def has_metrics(record: type[Stats]) -> bool:
    try:
        return bool(record.metrics())
    except TypeError:  # a record with a field that has no metadata
        return False
