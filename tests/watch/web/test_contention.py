"""/debug/contention with the real profiler."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from threadproof import _core
from threadproof.stats import Registry
from threadproof.watch import WSGIApp, contention
from threadproof.watch.web.app import App, Request, Response

supported = pytest.mark.skipif(
    not hasattr(_core, "contention"), reason="the contention profiler takes CPython 3.14 or 3.15"
)
PATH = "/debug/contention"


class Desk:
    """A lock that is held while its threads sleep."""

    def __init__(self) -> None:
        self.turn = threading.Lock()
        self.over = threading.Event()

    def serve(self) -> None:
        while not self.over.is_set():
            with self.turn:
                time.sleep(0.005)


@contextmanager
def busy() -> Iterator[None]:
    """A program with two threads that wait for each other."""
    desk = Desk()
    threads = [threading.Thread(target=desk.serve, name=f"clerk {number}") for number in range(2)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        desk.over.set()
        for thread in threads:
            thread.join()


def ask(app: App, seconds: str) -> Response:
    return app.respond(Request("GET", PATH, f"seconds={seconds}"))


@supported
def test_a_profile_of_a_program_that_runs_names_the_lock_and_both_lines() -> None:
    with busy():
        response = ask(App(watched=Registry()), "0.5")
    assert (response.status, response.content_type) == (200, "application/json")
    found = json.loads(response.body)
    (lock,) = (each for each in found["objects"] if each["title"] == "Lock Desk.turn")
    assert lock["count"] > 0
    waiters = {path["waiter"]["function"] for path in lock["paths"]}
    holders = {path["holder"]["function"] for path in lock["paths"] if path["holder"]}
    assert waiters == holders == {"Desk.serve"}
    assert {"clerk 0", "clerk 1"} <= {each["name"] for each in found["threads"]}
    assert ask(App(watched=Registry()), "0.01").status == 200  # another one, later


@supported
def test_while_the_program_profiles_itself_there_is_no_other_profile() -> None:
    with contention.profile():
        response = ask(App(watched=Registry()), "0.01")
    assert response.status == 409
    assert "is running in this process already" in json.loads(response.body)["error"]


@supported
def test_a_profile_needs_the_token_and_its_seconds_are_bounded() -> None:
    app = App(watched=Registry(), token="right")
    assert ask(app, "0.01").status == 401
    allowed = {"authorization": "Bearer right"}
    assert app.respond(Request("GET", PATH, "seconds=61", allowed)).status == 400
    with contention.profile():
        pass  # none is left running


@pytest.mark.skipif(hasattr(_core, "contention"), reason="the contention profiler works here")
def test_where_there_is_no_profiler_the_answer_says_what_it_takes() -> None:
    response = ask(App(watched=Registry()), "0.01")
    assert response.status == 501
    assert "3.14" in json.loads(response.body)["error"]


def test_the_module_is_beside_the_names_of_the_package() -> None:
    from threadproof import watch

    assert watch.contention is contention
    assert watch.WSGIApp is WSGIApp
