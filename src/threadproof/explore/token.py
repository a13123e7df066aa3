"""Tokens: a schedule as a short text, from which another process repeats it.

`t1-314-<schedule>-<check>`: the version of the format and of Python, the thread of each step, and five
characters each for the steps and for the program's code that took them.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import sys
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from types import CodeType

from threadproof import _core
from threadproof.explore.schedule import Log
from threadproof.probe.scope import OWN, Scope

FORMAT = "t1"
CHECK = 3  # bytes of a check, five characters: one in 16 million differences is not noticed
VERSION = f"{sys.version_info.major}{sys.version_info.minor}"


class TokenError(ValueError):
    """This text is no token; the message says why, in one line."""


@dataclass(frozen=True)
class Token:
    """What a token says."""

    sequence: bytes
    steps: str = ""
    code: str = ""
    python: str = VERSION

    def __str__(self) -> str:
        return f"{FORMAT}-{self.python}-{packed(self.sequence)}-{self.steps}{self.code}"


def token_of(log: Log, scope: Scope) -> Token:
    """Of a run whose stacks were kept."""
    return Token(log.sequence, check(steps_in(log)), check(code_in(log, scope)))


def read_token(text: str) -> Token:
    """TokenError if it is none."""
    parts = text.strip().split("-")
    if len(parts) != 4 or parts[0] != FORMAT:
        raise TokenError(f"{text!r} is not a token, which begins with {FORMAT!r} and has four parts")
    try:
        sequence = unpacked(parts[2])
    except (ValueError, zlib.error):
        raise TokenError(f"the token {text!r} is damaged: copy all of it") from None
    length = len(parts[3]) // 2
    return Token(sequence, parts[3][:length], parts[3][length:], parts[1])


def packed(sequence: bytes) -> str:
    """The lengths of the runs of equal numbers, compressed where that is shorter."""
    raw = bytes(
        itertools.chain.from_iterable(
            (thread, *number(sum(1 for _ in run))) for thread, run in itertools.groupby(sequence)
        )
    )
    small = zlib.compress(raw, 9)
    data = b"\1" + small if len(small) < len(raw) else b"\0" + raw
    return base64.b32encode(data).decode().rstrip("=").lower()


def unpacked(text: str) -> bytes:
    data = base64.b32decode(text.upper() + "=" * (-len(text) % 8))
    raw = iter(zlib.decompress(data[1:]) if data[:1] == b"\1" else data[1:])
    sequence = bytearray()
    for thread in raw:
        length = shift = 0
        for part in raw:
            length |= (part & 127) << shift
            shift += 7
            if part < 128:
                break
        if not 0 < length <= 1 << 24:
            raise ValueError("no length")
        sequence += bytes([thread]) * length
    return bytes(sequence)


def number(value: int) -> Iterable[int]:
    """Seven bits a byte, the lowest first; the last byte is below 128."""
    while value > 127:
        yield value & 127 | 128
        value >>= 7
    yield value


def check(parts: Iterable[str]) -> str:
    digest = hashlib.sha256("\n".join(parts).encode()).digest()[:CHECK]
    return base64.b32encode(digest).decode().rstrip("=").lower()


def steps_in(log: Log) -> Iterable[str]:
    return (f"{step.thread} {step.kind} {step.write} {step.variable}" for step in log.steps)


def code_in(log: Log, scope: Scope) -> list[str]:
    """The program's functions that took a step, with their code; not what called the explorer."""
    codes: set[CodeType] = set()
    for stack in {step.stack for step in log.steps if step.stack}:
        called = (code for code, _ in _core.probe.frames(stack))
        codes.update(itertools.takewhile(lambda code: not code.co_filename.startswith(OWN), called))
    codes = {code for code in codes if code.co_filename in scope}
    return sorted(f"{code.co_qualname} {as_text(code)}" for code in codes)


def as_text(code: CodeType) -> str:
    constants = [each for each in code.co_consts if isinstance(each, int | str | float | bytes | None)]
    return f"{code.co_code.hex()} {constants!r} {code.co_names!r}"
