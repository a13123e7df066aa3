"""Explore the schedules of a small threaded test: find the interleaving that fails, explain and repeat it.

    from threadproof.explore import explore

    def test():
        counter = Counter()
        threads = [Thread(target=counter.increment) for _ in range(2)]
        ...
        assert counter.n == 2

    print(explore(test))

The test is run again and again, with one thread running at a time. Before each step that other threads could
see, such as a lock, a wait, or an access to a shared variable, a strategy chooses the thread that continues.
A failing schedule is reduced to the fewest preemptions, told as a list of steps, and kept in a token, from
which `explore(test, replay=token)` repeats it in any process.

It needs CPython 3.14 or 3.15.
"""

from __future__ import annotations

from threadproof.explore.api import Exploration, always, explore
from threadproof.explore.token import TokenError
from threadproof.probe import SelfTestError as SelfTestError
from threadproof.probe import UnsupportedError as UnsupportedError

__all__ = ["Exploration", "TokenError", "always", "explore"]
