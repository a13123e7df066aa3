"""The hammer itself: it starts all threads, returns what they return, and hides no exception and no hang."""

from threading import Barrier, Event, Thread, current_thread

import pytest

from tests.kit import hammer as hammer_module
from tests.kit.hammer import PATIENCE, Gate, hammer
from tests.kit.waiting import wait


def test_all_threads_run_at_once_and_their_results_come_in_order() -> None:
    meeting = Barrier(4, timeout=PATIENCE)

    def work(index: int) -> tuple[int, str]:
        meeting.wait()
        return index, current_thread().name

    assert hammer(work, 4) == [(index, f"hammer-{index}") for index in range(4)]


def test_an_exception_reaches_the_caller_with_the_name_of_its_thread() -> None:
    def work(index: int) -> None:
        if index == 2:
            raise LookupError("here")

    with pytest.raises(LookupError, match="here") as caught:
        hammer(work, 3)
    assert caught.value.__notes__ == ["in thread hammer-2"]


def test_a_hang_fails_and_shows_where_every_thread_is(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    inside, never, still_running = Event(), Event(), hammer_module._still_running

    def stuck_here(index: int) -> None:
        if index == 1:
            inside.set()
            never.wait()

    def still_running_when_inside(hands: list[Thread], deadline: float) -> list[str]:
        wait(inside)
        return still_running(hands, deadline)

    monkeypatch.setattr(hammer_module, "_still_running", still_running_when_inside)
    with pytest.raises(AssertionError, match=r"not done after 0\.2 s: .*hammer-1"):
        hammer(stuck_here, 2, deadline=0.2)
    stacks = capsys.readouterr().err
    never.set()
    assert "Thread hammer-1:" in stacks
    assert "in stuck_here" in stacks


def test_no_thread_passes_a_gate_before_all_have_arrived() -> None:
    gate, arrived = Gate(3), [0, 0, 0]

    def work(index: int) -> list[int]:
        behind = []
        for meeting in range(1, 300):
            arrived[index] = meeting
            gate.wait(index)
            behind += [other for other in arrived if other < meeting]
        return behind

    assert hammer(work, 3) == [[], [], []]
