"""The address of the server of each process, in a file that only its user can read.

The file is named by the process's number, and has the URL and the token. It goes when the server is closed,
or the process ends; one that is left by a killed process is ignored, for nothing listens there.
"""

from __future__ import annotations

import json
import os
import tempfile
from contextlib import suppress
from pathlib import Path


def folder() -> Path:
    """Of this user: in XDG_RUNTIME_DIR if there is one, which goes with the session."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    return (
        Path(runtime, "threadproof") if runtime else Path(tempfile.gettempdir(), f"threadproof-{os.getuid()}")
    )


def write(url: str, token: str | None) -> Path:
    """Publish this process's address. PermissionError if the folder belongs to another user."""
    home = folder()
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    check_owner(home)
    path = home / str(os.getpid())
    path.unlink(missing_ok=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        json.dump({"url": url, "token": token}, file)
    return path


def read(process: int) -> tuple[str, str | None]:
    """The URL and the token of a process; FileNotFoundError if it serves nothing."""
    check_owner(folder())
    found = json.loads((folder() / str(process)).read_text(encoding="utf-8"))
    return found["url"], found["token"]


def remove(path: Path) -> None:
    with suppress(OSError):
        path.unlink()


def check_owner(home: Path) -> None:
    """In a folder that all users share, somebody else may have made ours."""
    state = home.lstat()
    if state.st_uid != os.getuid() or state.st_mode & 0o077:
        raise PermissionError(f"{home} belongs to another user, or others can read it")
