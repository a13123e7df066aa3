from collections.abc import Iterator

import pytest

from threadproof import _core


def pytest_ignore_collect() -> bool | None:
    """The explorer needs CPython 3.14."""
    return None if hasattr(_core, "explore") else True


@pytest.fixture(autouse=True)
def _checked() -> Iterator[None]:
    """After each test, the fields of the last run's schedule agree."""
    yield
    _core.explore.check()
