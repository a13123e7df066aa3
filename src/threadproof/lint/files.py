"""Which files are linted, what they are called as modules, and their text."""

from __future__ import annotations

import io
import linecache
import os
import stat
import tokenize
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from threadproof.lint.notebooks import NotebookError, code_of

SUFFIXES = (".py", ".pyi", ".ipynb")
# Folders of tools and of other people's code, as ruff leaves them out.
EXCLUDED = (
    ".bzr", ".direnv", ".eggs", ".git", ".hg", ".ipynb_checkpoints", ".mypy_cache", ".nox", ".pytest_cache",
    ".ruff_cache", ".svn", ".threadproof_cache", ".tox", ".venv", ".vscode", "__pycache__", "__pypackages__",
    "_build", "build", "dist", "node_modules", "site-packages", "venv",
)  # fmt: skip
LARGEST = 2 << 20  # bytes; a tree of a larger file takes hundreds of megabytes, and such files are generated


class FileError(Exception):
    """A file that cannot be linted; the message is one line."""


@dataclass(slots=True)
class File:
    """A file to lint: `name` is its module's, `text` its source, or `error` why there is none."""

    path: str
    name: str
    text: str = ""
    error: str = ""
    cells: Sequence[int] = field(default_factory=list)  # of a notebook: the line each cell begins at


def discover(paths: Iterable[str], exclude: Sequence[str] = ()) -> Iterator[str]:
    """The files below the paths, each once, and named files even if excluded. FileError if missing."""
    seen: set[str] = set()
    for path in paths:
        if os.path.isdir(path):
            found: Iterable[str] = walk(path, (*EXCLUDED, *exclude))
        elif os.path.exists(path):
            found = [path]
        else:
            raise FileError(f"there is no file or folder {path!r}")
        for each in found:
            real = os.path.realpath(each)
            if real not in seen:
                seen.add(real)
                yield os.path.normpath(each)


def walk(folder: str, exclude: Sequence[str]) -> Iterator[str]:
    """The files in a folder and those below, by name. A folder that links lead back to is entered once."""
    entered: set[tuple[int, int]] = set()
    for current, folders, files in os.walk(folder, followlinks=True):
        state = os.stat(current)
        if (state.st_dev, state.st_ino) in entered:
            folders.clear()
            continue
        entered.add((state.st_dev, state.st_ino))
        folders[:] = sorted(
            name for name in folders if not excluded(os.path.join(current, name), folder, exclude)
        )
        for name in sorted(files):
            path = os.path.join(current, name)
            if name.endswith(SUFFIXES) and not excluded(path, folder, exclude):
                yield path


def excluded(path: str, folder: str, patterns: Sequence[str]) -> bool:
    """Whether a pattern is the last name of the path, or fits the path from the folder."""
    name, relative = os.path.basename(path), os.path.relpath(path, folder)
    return any(fnmatchcase(name, pattern) or fnmatchcase(relative, pattern) for pattern in patterns)


def module_name(path: str, roots: dict[str, bool]) -> str:
    """The dotted name of a file, from the outermost folder above it that has an `__init__`."""
    folder, file = os.path.split(os.path.abspath(path))
    parts = [file.partition(".")[0]]
    while is_package(folder, roots):
        folder, package = os.path.split(folder)
        parts.append(package)
    if parts[0] == "__init__" and len(parts) > 1:
        parts = parts[1:]
    elif len(parts) == 1:
        parts = namespace_parts(folder, parts[0])
    return ".".join(reversed(parts)) + (".pyi" if path.endswith(".pyi") else "")


def namespace_parts(folder: str, name: str) -> list[str]:
    """The parts of a file in no package, told apart from others of its name by its folder's."""
    return (
        [name, os.path.basename(folder) or "root"]
        if name in ("__init__", "__main__", "setup", "conftest")
        else [name]
    )


def is_package(folder: str, known: dict[str, bool]) -> bool:
    if folder not in known:
        known[folder] = any(
            os.path.exists(os.path.join(folder, f"__init__{suffix}")) for suffix in (".py", ".pyi")
        )
    return known[folder]


def read(path: str, largest: int = LARGEST) -> tuple[str, bytes]:
    """The text and the bytes of a file; FileError if it is too large, unreadable or not text."""
    data = read_bytes(path, largest)
    return decode(path, data), data


def read_bytes(path: str, largest: int = LARGEST) -> bytes:
    """The bytes of a file; FileError if it is too large or unreadable."""
    try:
        state = os.stat(path)
        if not stat.S_ISREG(state.st_mode):
            raise FileError("is no regular file")
        size = state.st_size
        if size > largest:
            raise FileError(
                f"skipped: {size / (1 << 20):.1f} MB is more than max-file-size ({largest / (1 << 20):g} MB)"
            )
        return Path(path).read_bytes()
    except OSError as error:
        raise FileError(f"cannot be read: {error.strerror}") from None


def decode(path: str, data: bytes) -> str:
    """The text of a file's bytes, in the encoding that it declares; that of its code if it is a notebook."""
    try:
        if path.endswith(".ipynb"):
            text, _ = code_of(data.decode("utf-8"))
            return text
        encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
        return io.TextIOWrapper(io.BytesIO(data), encoding).read()
    except NotebookError as error:
        raise FileError(f"is no notebook: {error}") from None
    except (SyntaxError, UnicodeDecodeError, LookupError) as error:
        raise FileError(f"cannot be decoded: {error}") from None


def lines_of(text: str) -> list[str]:
    """The lines of a text, with their ends, as Python counts them: a form feed ends none."""
    return [*(f"{line}\n" for line in text.split("\n")[:-1]), text.rpartition("\n")[2]]


def show_as(path: str, text: str) -> None:
    """Let reports show this text's lines for a path whose file has others: a notebook, or standard input."""
    lines = lines_of(text)
    linecache.cache[path] = (len(text), None, lines, path)
