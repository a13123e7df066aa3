"""Concurrent maps for threaded Python, and the tools that prove a threaded program right."""

from threadproof._core import REMOVE, DeadlockError

__all__ = ["REMOVE", "DeadlockError"]
__version__ = "0.1.0"
