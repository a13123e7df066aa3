import gc
import os
import random
import signal

import pytest

# What somebody may have set for himself, and what we test would heed.
PREFERENCES = ("FORCE_COLOR", "NO_COLOR", "PYTHON_COLORS", "PYTHONWARNINGS", "THREADPROOF_RACE")


def pytest_configure() -> None:
    """Nobody's preferences count; and Ctrl-C works, even in the background, where shells have it ignored."""
    for name in PREFERENCES:
        os.environ.pop(name, None)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


# What a sanitized process cannot show, by a part of the test's name.
NOT_SANITIZED = {
    "take_no_memory": "a sanitized process keeps freed memory for a while",
    "takes_no_memory": "a sanitized process keeps freed memory for a while",
    "what_is_counted_may_count_and_so_on": "a sanitized build has larger stack frames",
}
# What `make test-quick` leaves out, beside the tests marked so where they stand.
SLOW = (
    *("collects garbage", "a_million_replacements", "a_sum_is_its_callers"),
    *("-backward]", "-together]", "-random-2]"),  # schedules of the race detector's cases, beside two others
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the slow tests, and skip under tools/sanitized those that show nothing there."""
    sanitized = "libasan" in os.environ.get("LD_PRELOAD", "")
    for item in items:
        if any(part in item.name for part in SLOW):
            item.add_marker(pytest.mark.slow)
        for part, reason in NOT_SANITIZED.items():
            if sanitized and part in item.name:
                item.add_marker(pytest.mark.skip(reason=reason))


def pytest_collection_finish() -> None:
    """The garbage collections that tests ask for need not look at ten thousand collected tests."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def seed() -> int:
    """Where this test's random choices begin; a failure shows it, and THREADPROOF_SEED repeats it."""
    chosen = int(os.environ.get("THREADPROOF_SEED") or random.SystemRandom().randrange(2**32))
    print(f"replay with THREADPROOF_SEED={chosen}")
    return chosen
