"""The flags of accesses, under the name by which kinds.py knows them."""

from __future__ import annotations

from threadproof.probe.flags import AccessFlag as Trait

__all__ = ["Trait"]
