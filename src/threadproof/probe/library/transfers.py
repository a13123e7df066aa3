"""Sockets, pipes and files: an option lets whoever reads bytes come after all who have written some before.

A thread can wait for the bytes of another one. Few programs do, and one order for all bytes hides races of
threads that only write to a log, so this is an option; Go's race detector does it always. The end of a pipe
is read, too, so closing sends.
"""

from __future__ import annotations

import sys
from typing import Any, Final, NamedTuple

from threadproof import _core

ACTIONS: Final = ("send_bytes", "receive_bytes")


class Transfers(NamedTuple):
    """Functions of a C module, or methods of a type of it, that pass bytes on or get some."""

    module: str
    owner: str  # a type, or nothing
    sends: str
    receives: str

    def install(self) -> None:
        """Intercept them for good; the module has been imported."""
        module = sys.modules[self.module]
        owner: Any = getattr(module, self.owner) if self.owner else module
        for action, names in zip(ACTIONS, (self.sends, self.receives), strict=True):
            for name in names.split():
                if hasattr(owner, name):  # systems differ
                    _core.probe.intercept_method(owner, name, action)


ROWS: Final = (
    Transfers(
        "posix",
        "",
        "write writev sendfile splice eventfd_write close",
        "read readv readinto splice eventfd_read",
    ),
    Transfers("_io", "FileIO", "write close", "read readall readinto"),
    Transfers(
        "_socket",
        "socket",
        "send sendall sendto sendmsg shutdown close connect connect_ex",
        "recv recv_into recvfrom recvfrom_into recvmsg recvmsg_into _accept",
    ),
    Transfers("_ssl", "_SSLSocket", "write shutdown", "read"),
)

ALL_BYTES: Final = object()  # what they order by: for ever, as a thread may be publishing it
