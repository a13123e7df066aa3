"""A lease expires and its watchers are told, while one more watcher registers.

Promise: every watcher that registers is told, at once or later.
"""

from meanwhile import meanwhile, report
from threadproof import HashMap


def naive() -> None:
    watchers: dict[str, list[str]] = {"lease": ["early"]}
    told: list[str] = []

    def register(watcher: str) -> None:
        watchers.setdefault("lease", []).append(watcher)

    told.extend(watchers["lease"])
    meanwhile(lambda: register("late"))
    del watchers["lease"]
    assert told == ["early", "late"], "the late watcher is neither told nor registered"


def fixed() -> None:
    watchers: HashMap[str, tuple[str, ...]] = HashMap(lease=("early",))
    told: list[str] = []

    def register(watcher: str) -> None:
        if watchers.compute_if_present("lease", lambda known: (*known, watcher)) is None:
            told.append(watcher)  # the lease has expired already

    meanwhile(lambda: register("in time"))
    expired = watchers.pop("lease")  # one atomic step: a watcher that is not in it will find no lease
    meanwhile(lambda: register("late"))
    told.extend(expired)
    assert sorted(told) == ["early", "in time", "late"], f"told: {told}"


if __name__ == "__main__":
    report(naive, fixed)
