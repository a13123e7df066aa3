import os
import random

import pytest


@pytest.fixture
def seed() -> int:
    """Where this test's random choices begin; a failure shows it, and THREADPROOF_SEED repeats it."""
    chosen = int(os.environ.get("THREADPROOF_SEED") or random.SystemRandom().randrange(2**32))
    print(f"replay with THREADPROOF_SEED={chosen}")
    return chosen
