import os
import random

import pytest


@pytest.fixture
def seed() -> int:
    """Where this test's random choices begin: printed, so a failure shows it, and set by THREADPROOF_SEED to replay one."""
    chosen = int(os.environ.get("THREADPROOF_SEED") or random.SystemRandom().randrange(2**32))
    print(f"replay with THREADPROOF_SEED={chosen}")
    return chosen
