"""Stats: the record a structure returns from `.stats()`. Health checks, metrics and benchmarks read these."""

from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True)
class Stats:
    """Figures of one structure at about one moment; each kind of structure adds its own fields."""

    def as_dict(self) -> dict[str, int | float | bool | str | tuple[int, ...]]:
        """The figures by name, ready for JSON."""
        return {field.name: getattr(self, field.name) for field in fields(self)}
