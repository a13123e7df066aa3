"""Turns: who computes the value of which key now, who waits for it, and when waiting would never end.

One graph covers all maps of the process: a thread waits for one turn, and a turn belongs to one thread. An
edge is added only after following the edges from the turn wanted; if they lead back to the thread that wants
to wait, it gets DeadlockError instead. Checking and adding are one step under the graph's lock, so of the
threads of a cycle exactly one, the last, is refused.

Field          | guard
---------------|------------------------------------------------------------------
_waiting       | _graph
turn._ended    | _graph
turn._waiters  | _graph
turn._owner    | never changes
waiter (Lock)  | made locked; unlocked once, by end(); only its own thread locks it
"""

from __future__ import annotations

from threading import TIMEOUT_MAX, Lock, RLock, get_ident, local

from threadproof._core import DeadlockError

_graph = RLock()  # re-entrant: a finalizer or signal handler may come while a thread holds it
_waiting: dict[int, Turn] = {}  # thread -> the turn it waits for


class _Held(local):
    """How many turns the current thread has."""

    count = 0


_held = _Held()


class Turn:
    """A thread's turn at a key, while user code decides the key's new value. Making it begins it."""

    __slots__ = ("_ended", "_owner", "_waiters", "key")

    def __init__(self, key: object) -> None:
        self.key = key
        self._owner = get_ident()
        self._ended = False
        self._waiters: list[Lock] = []
        _held.count += 1

    @staticmethod
    def held() -> bool:
        """Whether the calling thread has a turn now, at any key of any map."""
        return _held.count > 0

    def wait(self, timeout: float | None = None) -> None:
        """Wait until the turn has ended.

        TimeoutError after `timeout` seconds; DeadlockError at once if it would never end because the calling
        thread has the turn itself, or others that have to end first wait for a turn of the calling thread.
        """
        thread = get_ident()
        waiter = Lock()
        waiter.acquire()
        outer = _waiting.get(thread)
        try:
            self._queue(waiter, thread)
            ended = waiter.acquire(timeout=-1 if timeout is None else min(timeout, TIMEOUT_MAX))
        finally:
            _wait_for(thread, outer)
        if not ended:
            raise TimeoutError(f"the computation running at key {self.key!r} took longer than the timeout")

    def end(self) -> None:
        """Let everybody who waits go on. The thread that made the turn calls this, once."""
        with _graph:
            self._ended = True
        for waiter in self._waiters:
            waiter.release()
        _held.count -= 1

    def _queue(self, waiter: Lock, thread: int) -> None:
        with _graph:
            if self._ended:
                waiter.release()
                return
            keys = self._way_back_to(thread)
            if not keys:
                _waiting[thread] = self
                self._waiters.append(waiter)
                return
        raise DeadlockError(_explain(keys))

    def _way_back_to(self, thread: int) -> list[object]:
        """The keys on the way from this turn to one that `thread` has; empty where no way leads there."""
        keys = [self.key]
        turn: Turn | None = self
        for _ in range(len(_waiting) + 1):  # a way is no longer than that
            if turn is None or turn._ended:
                return []
            if turn._owner == thread:
                return keys
            turn = _waiting.get(turn._owner)
            if turn is not None:
                keys.append(turn.key)
        return []


def _wait_for(thread: int, turn: Turn | None) -> None:
    """Note that the thread waits for this turn, or for none."""
    with _graph:
        if turn is not None:
            _waiting[thread] = turn
        else:
            _waiting.pop(thread, None)


def _explain(keys: list[object]) -> str:
    wanted, *others = keys
    if not others:
        return f"the value of key {wanted!r} is being computed by this very thread; return it from fn instead"
    way = ", whose computation waits for ".join(f"key {key!r}" for key in others)
    return (
        f"waiting for key {wanted!r} would never end: its computation waits for {way}, "
        "which this very thread is computing"
    )
