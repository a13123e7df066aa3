"""The report as a profile of pprof: gzipped protocol buffers, written without a library.

`go tool pprof` and speedscope read it. Four values belong to each sample. Samples with the stacks of
waiting threads
have `contentions` and `delay`, as Go's block profile; those with the stacks of the threads for which others
waited have `blocking_contentions` and `blocking_delay`, as Go's mutex profile. Field numbers are those of
profile.proto in github.com/google/pprof.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterable

from threadproof.findings.model import Place
from threadproof.watch.contention.record import Stack
from threadproof.watch.contention.report import Contended, PathOf, Report

VALUES = (
    ("contentions", "count"),
    ("delay", "nanoseconds"),
    ("blocking_contentions", "count"),
    ("blocking_delay", "nanoseconds"),
)
DEFAULT = "delay"


def as_pprof(report: Report) -> bytes:
    """All objects, those of short waits included."""
    profile = Profile()
    for each in report.contended:
        for path in each.paths:
            profile.add(path.stack, (path.count, path.delay, 0, 0), labels(each, path))
            profile.add(path.holder, (0, 0, path.count, path.delay), labels(each, path))
    return gzip.compress(profile.encoded(report.duration), mtime=0)


def labels(each: Contended, path: PathOf) -> dict[str, str]:
    longest = max(path.threads, key=lambda name: path.threads[name], default="")
    return {"object": each.title, "thread": longest}


class Profile:
    """The tables of a profile: strings, functions and locations are each stored once."""

    def __init__(self) -> None:
        self.strings: dict[str, int] = {"": 0}
        self.functions: dict[tuple[str, str], int] = {}
        self.locations: dict[tuple[int, int], int] = {}
        self.samples: list[bytes] = []

    def add(self, stack: Stack, values: Iterable[int], labels: dict[str, str]) -> None:
        """A sample; an empty stack gives none."""
        if not stack:
            return
        fields = packed(1, (self.location(place) for place in stack)) + packed(2, values)
        for key, value in labels.items():
            fields += message(3, number(1, self.string(key)) + number(2, self.string(value)))
        self.samples.append(fields)

    def string(self, text: str) -> int:
        return self.strings.setdefault(text, len(self.strings))

    def location(self, place: Place) -> int:
        function = self.functions.setdefault((place.function, place.path()), len(self.functions) + 1)
        return self.locations.setdefault((function, place.line), len(self.locations) + 1)

    def encoded(self, duration: int) -> bytes:
        types = [self.value_type(*each) for each in VALUES]
        parts = [message(1, each) for each in types]
        parts += [message(2, each) for each in self.samples]
        for (function, line), location in self.locations.items():
            at = number(1, function) + number(2, line)
            parts.append(message(4, number(1, location) + message(4, at)))
        for (name, file), function in self.functions.items():
            named = number(1, function) + number(2, self.string(name)) + number(3, self.string(name))
            parts.append(message(5, named + number(4, self.string(file))))
        default = self.string(DEFAULT)
        parts += [message(6, text.encode()) for text in self.strings]
        parts += [number(10, duration), message(11, types[0]), number(12, 1), number(14, default)]
        return b"".join(parts)

    def value_type(self, name: str, unit: str) -> bytes:
        return number(1, self.string(name)) + number(2, self.string(unit))


# --- protocol buffers ---


def varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value)


def message(field: int, content: bytes) -> bytes:
    return varint(field << 3 | 2) + varint(len(content)) + content


def packed(field: int, values: Iterable[int]) -> bytes:
    return message(field, b"".join(map(varint, values)))
