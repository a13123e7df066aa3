import os
import random
import signal

import pytest


def pytest_configure() -> None:
    """Ctrl-C works here, even if a shell runs us in the background, where it has jobs ignore it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def seed() -> int:
    """Where this test's random choices begin; a failure shows it, and THREADPROOF_SEED repeats it."""
    chosen = int(os.environ.get("THREADPROOF_SEED") or random.SystemRandom().randrange(2**32))
    print(f"replay with THREADPROOF_SEED={chosen}")
    return chosen
