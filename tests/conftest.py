import gc
import os
import random
import signal

import pytest

# A developer's settings that would change the programs under test.
PREFERENCES = ("FORCE_COLOR", "NO_COLOR", "PYTHON_COLORS", "PYTHONWARNINGS", "THREADPROOF_RACE")


def pytest_configure() -> None:
    """Remove such settings; and enable Ctrl-C also in the background, where shells ignore it."""
    for name in PREFERENCES:
        os.environ.pop(name, None)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


# Tests that cannot work in a sanitized process, by a part of their names.
NOT_SANITIZED = {
    "take_no_memory": "a sanitized process keeps freed memory for a while",
    "takes_no_memory": "a sanitized process keeps freed memory for a while",
    "what_is_counted_may_count_and_so_on": "a sanitized build has larger stack frames",
}
# Tests that `make test-quick` skips, besides those that have the mark in their files.
SLOW = (
    *("collects garbage", "a_million_replacements", "a_sum_is_its_callers"),
    *("-backward]", "-together]", "-random-2]"),  # schedules of the race detector's cases, beside two others
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the slow tests, and skip those that cannot work under tools/sanitized."""
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
    """The seed of this test's random choices; a failure shows it, and THREADPROOF_SEED repeats it."""
    chosen = int(os.environ.get("THREADPROOF_SEED") or random.SystemRandom().randrange(2**32))
    print(f"replay with THREADPROOF_SEED={chosen}")
    return chosen
