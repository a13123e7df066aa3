"""Handlers: acquire() and release(), where the program itself calls them, are those of a lock.

While logging calls emit() or format(), it holds the same lock. It orders nothing then, but nobody else is in
there at once.
"""

from __future__ import annotations

from threadproof.probe.library.rows import Row, Step

ROWS = (
    Row("logging:Handler", "acquire", after=(Step("observe", "lock"),)),
    Row("logging:Handler", "release", before=(Step("publish", "lock"),)),
)
