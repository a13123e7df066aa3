"""The scope of the probe: the code to instrument, and the library code whose locks order nothing."""

from __future__ import annotations

import os
import site
import sysconfig
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

LIBRARY = os.path.dirname(os.__file__) + os.sep
PACKAGE = os.path.dirname(os.path.dirname(__file__)) + os.sep
# never instrumented
OWN = tuple(PACKAGE + area + os.sep for area in ("probe", "race", "explore", "findings"))
# Nor are these: they publish what they do themselves, and their locks are their own affair.
STRUCTURES = (PACKAGE + "maps" + os.sep, PACKAGE + "sync" + os.sep)

# Files whose code acquires locks for its own purposes: two threads that log are not ordered by that.
UNINSTRUMENTED = (
    *(
        LIBRARY + path
        for path in ("logging/", "asyncio/", "concurrent/futures/thread.py", "queue.py", "_weakrefset.py")
    ),
    *(LIBRARY + path for path in ("tempfile.py", "random.py", "importlib/", "weakref.py")),
    "<frozen importlib",
    *STRUCTURES,
    *OWN,
)


@dataclass(frozen=True)
class Scope:
    """The code below the roots, except libraries; also the included code, but no excluded code.

    `include` and `exclude` name packages, modules, files or folders. Excluding wins.
    """

    roots: Sequence[str]
    include: Sequence[str] = ()
    exclude: Sequence[str] = ()
    libraries: Sequence[str] = field(default_factory=lambda: library_folders())
    decided: dict[str, bool] = field(default_factory=dict)  # decide() reads the disk
    matched: set[str] = field(default_factory=set)  # what of `include` code has run of

    @property
    def unmatched(self) -> list[str]:
        """What of `include` no code has run of."""
        return [package for package in self.include if package not in self.matched]

    def __contains__(self, filename: str) -> bool:
        inside = self.decided.get(filename)
        if inside is None:
            inside = self.decided[filename] = self.decide(filename)
        return inside

    def decide(self, filename: str) -> bool:
        with suppress(OSError):  # the current folder may be gone
            if not filename.startswith("<"):
                filename = os.path.abspath(filename)  # folder/../other/file.py is not in the folder
        if any(names(package, filename) for package in self.exclude) or filename.startswith(
            (*OWN, *STRUCTURES)
        ):
            return False
        if included := [package for package in self.include if names(package, filename)]:
            self.matched.update(included)
            return True
        if is_without_file(filename):
            return bool(self.roots)
        own = any(filename.startswith(os.path.join(root, "")) for root in self.roots if root)
        return own and not any(filename.startswith(folder) for folder in self.libraries)


def is_without_file(filename: str) -> bool:
    """Of exec, a REPL, a notebook's cell; but not of a module of the interpreter's own."""
    # ipykernel names a cell by a file that it does not write
    folder = os.path.basename(os.path.dirname(filename))
    cell = folder.startswith("ipykernel_") and not os.path.exists(filename)
    return cell or (filename.startswith("<") and not filename.startswith("<frozen "))


def library_folders() -> list[str]:
    paths = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    return [
        os.path.join(path, "") for path in {*paths, *site.getsitepackages(), os.path.dirname(os.__file__)}
    ]


def names(package: str, filename: str) -> bool:
    """Whether the file belongs to the package or module, or is in the folder, that an option names."""
    if os.sep in package or os.path.exists(package):
        path = os.path.abspath(package)
        return filename == path or filename.startswith(os.path.join(path, ""))
    path = package.replace(".", os.sep)
    return f"{os.sep}{path}{os.sep}" in filename or filename.endswith(f"{os.sep}{path}.py")
