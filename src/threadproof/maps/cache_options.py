"""The options of a Cache: what each may be, and which go together."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from threadproof import _core

FOREVER: Final = 1e9  # seconds; 31 years, and the limit of the native part is 73


@dataclass(frozen=True, slots=True)
class Options:
    """The arguments of Cache, checked by `check`."""

    max_size: int | None = None
    max_weight: int | None = None
    weigher: Callable[[Any, Any], int] | None = None
    expire_after_write: float | None = None
    expire_after_access: float | None = None
    expires: Callable[[Any, Any, float], float | None] | None = None
    jitter: float = 0.0
    refresh_after: float | None = None
    loader: Callable[[Any], Any] | None = None
    cache_errors: float | None = None
    on_evict: Callable[[Any, Any, str], object] | None = None
    stats: bool = True
    clock: Callable[[], float] | None = None

    def check(self, owner: str) -> None:
        """Raise for a bad argument, or a bad combination."""
        self._check_bounds(owner)
        self._check_times(owner)
        check_callback(
            owner, "loader", "loader(key) -> value", self.loader, "; call await cache.load(key, loader)"
        )
        check_callback(owner, "on_evict", "on_evict(key, value, cause)", self.on_evict)
        if not isinstance(self.stats, bool):
            raise TypeError(f"{owner} wants stats=True or stats=False, got {self.stats!r}")

    def _check_bounds(self, owner: str) -> None:
        check_size(owner, "max_size", self.max_size)
        check_size(owner, "max_weight", self.max_weight)
        check_callback(owner, "weigher", "weigher(key, value) -> int", self.weigher)
        if self.max_size is not None and self.max_weight is not None:
            raise ValueError(
                f"{owner} has one bound, got max_size={self.max_size} and max_weight={self.max_weight}"
            )
        if (self.max_weight is None) != (self.weigher is None):
            raise ValueError(
                f"{owner} wants max_weight= and weigher= together, or neither; max_size= counts entries"
            )

    def _check_times(self, owner: str) -> None:
        for name in ("expire_after_write", "expire_after_access", "refresh_after", "cache_errors"):
            check_seconds(owner, name, getattr(self, name))
        check_callback(owner, "expires", "expires(key, value, now) -> time", self.expires)
        check_callback(owner, "clock", "clock() -> seconds", self.clock)
        self._check_jitter(owner)
        if self.expires is not None and (self.expire_after_write, self.expire_after_access) != (None, None):
            raise ValueError(
                f"{owner} wants expires=, or expire_after_write= and expire_after_access=, got both; "
                "expires() can return now + seconds"
            )
        write = self.expire_after_write
        if self.refresh_after is not None and write is not None and self.refresh_after >= write:
            raise ValueError(
                f"{owner} wants refresh_after < expire_after_write, got {self.refresh_after} and {write}: "
                "no value would live until it is loaded again"
            )
        if self.clock is not None:
            self._check_clock(owner, self.clock)

    def _check_clock(self, owner: str, clock: Callable[[], float]) -> None:
        seconds(owner, clock())
        if self.expiry is None and self.cache_errors is None:
            raise ValueError(
                f"{owner} wants clock= together with expire_after_write=, expire_after_access=, expires=, "
                "refresh_after= or cache_errors=, got it alone"
            )

    def _check_jitter(self, owner: str) -> None:
        if isinstance(self.jitter, bool) or not isinstance(self.jitter, int | float):
            raise TypeError(f"{owner} wants jitter as a number from 0 to 1, got {self.jitter!r}")
        if not 0 <= self.jitter <= 1:
            raise ValueError(f"{owner} wants 0 <= jitter <= 1, the part of a lifetime, got {self.jitter}")
        if self.jitter and not (self.expire_after_write or self.expire_after_access or self.refresh_after):
            raise ValueError(
                f"{owner} wants jitter= together with expire_after_write=, expire_after_access= or "
                f"refresh_after=, got jitter={self.jitter} alone"
            )

    @property
    def describes(self) -> bool:
        """Whether a value is described before it is stored."""
        return self.weigher is not None or self.expires is not None

    @property
    def expiry(self) -> tuple[int, int, int, int, bool, bool] | None:
        """The arguments of the native _set_expiry; None: nothing expires."""
        lives = [self.expire_after_write, self.expire_after_access, self.refresh_after]
        if lives == [None, None, None] and self.expires is None:
            return None
        write, access, refresh = (nanoseconds(life) for life in lives)
        return (
            write,
            access,
            refresh,
            int(self.jitter * 65536),
            self.expires is not None,
            self.clock is not None,
        )


def nanoseconds(life: float | None) -> int:
    """A lifetime for the native part, where 0 is none."""
    return 0 if life is None or life > FOREVER else max(1, int(life * 1e9))


def seconds(owner: str, now: object) -> float:
    """A time that a clock has returned."""
    if isinstance(now, bool) or not isinstance(now, int | float):
        raise TypeError(f"{owner} wants clock() to return seconds as a number, got {now!r}")
    if not math.isfinite(now):
        raise ValueError(f"{owner} wants clock() to return a finite number of seconds, got {now}")
    return now


def check_seconds(owner: str, name: str, value: object) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{owner} wants {name} in seconds, or None for never, got {value!r}")
    if not value > 0:
        raise ValueError(f"{owner} wants {name} > 0 seconds, or None for never, got {value}")


def check_size(owner: str, name: str, size: object) -> None:
    if size is None:
        return
    if isinstance(size, bool) or not isinstance(size, int):
        raise TypeError(f"{owner} wants {name} as an int, or None for no bound, got {size!r}")
    if size < 0 or size >= 2**62:
        raise ValueError(f"{owner} wants 0 <= {name} < 2**62, or None for no bound, got {size}")


def check_count(owner: str, count: object) -> None:
    if isinstance(count, bool) or not isinstance(count, int):
        raise TypeError(f"{owner}.policy() wants the number of keys as an int, got {count!r}")
    if not 0 <= count < 2**62:
        raise ValueError(f"{owner}.policy() wants 0 <= count < 2**62, got {count}")


def check_callback(owner: str, name: str, signature: str, fn: object, instead: str = "") -> None:
    if fn is None:
        return
    if not callable(fn):
        raise TypeError(f"{owner} wants {signature} as {name}, got {type(fn).__name__}")
    if _core.is_async(fn):
        raise TypeError(f"{owner} wants a plain {signature}, got {fn!r}, which is async{instead}")
