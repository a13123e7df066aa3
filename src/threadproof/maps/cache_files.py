"""Files with the entries of a Cache: written as a whole or not at all, and checked before they are read.

A file is one line of ASCII, and the entries. The line has the magic word, the version of the layout, the
encoding, the number of entries, and a SHA-256 of these and of the entries. Entries are a pickle of a list of
pairs, or one JSON list of two for each line; those that would be evicted first come first.
"""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Literal, get_args

Encoding = Literal["pickle", "json"]
StrPath = str | os.PathLike[str]
Entries = list[tuple[Any, Any]]

MAGIC: Final = b"threadproof-cache"
VERSION: Final = 1
LONGEST: Final = 200  # bytes of the first line; it has about 100


def write_entries(path: StrPath, encoding: Encoding, entries: Entries) -> None:
    """Replace the file by one with these entries. If this raises, the file is as it was."""
    check_encoding("save", encoding)
    body = ENCODERS[encoding](entries)
    head = b"%b %d %b %d" % (MAGIC, VERSION, encoding.encode(), len(entries))
    replace_file(Path(path), b"%b %b\n%b" % (head, checksum(head, body), body))


def read_entries(path: StrPath, encoding: Encoding) -> Entries:
    """The entries of a file. ValueError if it is not one, is damaged, or has another version or encoding."""
    check_encoding("restore", encoding)
    with Path(path).open("rb") as file:
        head, _, digest = file.readline(LONGEST).rstrip(b"\n").rpartition(b" ")
        words = head.split(b" ")
        if len(words) != 4 or words[0] != MAGIC:
            raise ValueError(f"{path!s} is not a file that Cache.save() has written")
        check_head(path, words[1], words[2], encoding)
        body = file.read()
    if checksum(head, body) != digest:
        raise ValueError(f"{path!s} is damaged: it does not have the checksum of its entries; delete it")
    return DECODERS[encoding](body)


def checksum(head: bytes, body: bytes) -> bytes:
    return hashlib.sha256(head + b"\n" + body).hexdigest().encode()


def check_head(path: StrPath, version: bytes, has: bytes, encoding: Encoding) -> None:
    if version != str(VERSION).encode():
        raise ValueError(
            f"{path!s} has version {version.decode(errors='replace')} of the layout, and this threadproof "
            f"reads version {VERSION}; save the cache again"
        )
    if has != encoding.encode():
        raise ValueError(
            f"{path!s} has encoding={has.decode(errors='replace')!r}, asked for was {encoding!r}"
        )


def check_encoding(method: str, encoding: object) -> None:
    if encoding not in get_args(Encoding):
        raise ValueError(f"Cache.{method}() wants encoding='pickle' or encoding='json', got {encoding!r}")


def replace_file(path: Path, data: bytes) -> None:
    """Put data in the place of a file in one step, on disk before that. Its mode stays; a new one is 0600."""
    path = path.resolve()  # a link stays one
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            if path.exists():
                os.fchmod(handle, path.stat().st_mode & 0o7777)
            file.write(data)
            file.flush()
            os.fsync(handle)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make a renaming in it last."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def to_json(entries: Entries) -> bytes:
    return b"".join(line_of(key, value) for key, value in entries)


def line_of(key: object, value: object) -> bytes:
    """A line, if JSON gives back what it is given."""
    try:
        line = json.dumps([key, value], allow_nan=False)
    except (TypeError, ValueError) as error:
        raise type(error)(
            f"JSON cannot have the entry of key {key!r}: {error}; use encoding='pickle'"
        ) from None
    back = json.loads(line)
    if not same(back, [key, value]):
        raise ValueError(
            f"JSON would change the entry of key {key!r}: {[key, value]!r} would come back as {back!r}; "
            "use encoding='pickle'"
        )
    return line.encode() + b"\n"


def same(back: Any, given: Any) -> bool:
    """Whether JSON gave back equal values of the same types."""
    if type(back) is not type(given):
        return False
    if isinstance(back, list):
        return len(back) == len(given) and all(map(same, back, given))
    if isinstance(back, dict):
        return list(back) == list(given) and all(map(same, back.values(), given.values()))
    return bool(back == given)


def from_json(body: bytes) -> Entries:
    return [(key, value) for key, value in map(json.loads, body.splitlines())]


ENCODERS: Final[dict[str, Callable[[Entries], bytes]]] = {"pickle": pickle.dumps, "json": to_json}
DECODERS: Final[dict[str, Callable[[bytes], Entries]]] = {"pickle": pickle.loads, "json": from_json}
