"""Nothing depends on a layout that a micro release of CPython may change without a refusal in words."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from tests.kit.hammer import PATIENCE
from threadproof import _core
from threadproof.probe import SelfTestError, selftest, subscribe

if not hasattr(_core, "race"):
    pytest.skip("the probe needs CPython 3.14", allow_module_level=True)

MANY = 2000  # more than the interpreter needs to replace a call by its shortcut


def append_all(items: list[int]) -> None:
    for number in range(MANY):
        items.append(number)  # noqa: PERF402 - the call is the point


def in_thread(function: Callable[[], object]) -> None:
    thread = threading.Thread(target=function)
    thread.start()
    thread.join(PATIENCE)


def test_each_append_of_a_warmed_loop_goes_through_its_definition() -> None:
    append_all([])
    items: list[int] = []
    with subscribe(accessing=lambda event: None):
        in_thread(lambda: None)  # from the first thread on, everything is intercepted
        assert _core.probe.count_appends(append_all, items) == MANY
    assert items == list(range(MANY))


def test_append_is_the_method_that_it_was() -> None:
    with subscribe(accessing=lambda event: None):
        in_thread(lambda: None)
    assert list.append.__qualname__ == "list.append"
    assert list.append.__objclass__ is list  # type: ignore[attr-defined]
    assert list.append is vars(list)["append"]
    assert list.append.__text_signature__ == "($self, object, /)"  # pyright: ignore[reportFunctionMemberAccess]


@pytest.mark.parametrize(
    ("function", "value", "check", "message"),
    [
        (
            "different_structure",
            "PyThreadState",
            selftest.check_layout,
            "PyThreadState has another layout here",
        ),
        ("count_appends", 1, selftest.check_append, r"of 0 calls of list.append\(\) it saw 1"),
        ("takes_interrupts", False, selftest.check_interrupts, "does not see an interrupt"),
    ],
)
def test_a_difference_is_refused_in_words(
    function: str,
    value: object,
    check: Callable[[], None],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    check()
    monkeypatch.setattr(_core.probe, function, lambda *arguments: value)
    with pytest.raises(SelfTestError, match=message):
        check()
