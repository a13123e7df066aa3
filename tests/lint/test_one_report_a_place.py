"""Rules that see the same mistake at the same place report it once; what is shown of a class has an end."""

from __future__ import annotations

from tests.lint.sources import COUNTER
from threadproof.lint.engine import lint
from threadproof.lint.options import OPTIONS
from threadproof.lint.rule import Report
from threadproof.lint.rules import all_rules
from threadproof.lint.selection import Selection

CONNECTION = """\
import threading

class Client:
    def __init__(self):
        self._lock = threading.Lock()
        self._socket = None

    def connect(self, make):
        with self._lock:
            self._socket = make()

    def close(self):
        with self._lock:
            self._socket = None

    def send(self, data):
        if self._socket is not None:
            self._socket.send(data)
"""
SEVERAL = """\
import threading

class Sessions:
    def __init__(self):
        self.a, self.b, self.c, self.d = {}, {}, {}, {}
        threading.Thread(target=self.clean).start()

    def clean(self):
        self.a.clear()
        self.b.clear()
        self.c.clear()
        self.d.clear()
"""
LOOKS = "".join(
    f"""
    def get_{name}(self, key):
        if key in self.{name}:
            return self.{name}[key]
"""
    for name in "abcd"
)
OUTSIDE = """\
import threading

class State:
    def __init__(self):
        self._values = {}

    def drop(self, key):
        if key in self._values:
            del self._values[key]

    def add(self, key, value):
        self._values[key] = value

    def __delitem__(self, key):
        if key in self._values:
            del self._values[key]

class SafeState:
    def __init__(self):
        self._lock = threading.Lock()
        self._state = State()

    def drop(self, key):
        with self._lock:
            self._state.drop(key)

    def add(self, key, value):
        with self._lock:
            self._state.add(key, value)

    def __delitem__(self, key):
        with self._lock:
            del self._state[key]
"""


def shown(text: str, **options: object) -> list[Report]:
    reports = lint([("case.py", "case", text)], list(all_rules().values()))
    return Selection(OPTIONS.read({}) | {"preview": True} | options).shown(reports)


def test_two_rules_report_one_place_once() -> None:
    assert [report.code for report in shown(COUNTER)] == ["CM103"]
    assert [report.code for report in shown(COUNTER, select=["CM203"])] == ["CM203"]


def test_an_attribute_that_another_thread_sets_to_none() -> None:
    (report,) = shown(CONNECTION)
    assert (report.code, report.span.line) == ("CM101", 17)
    assert "may be None" in report.message
    copied = CONNECTION.replace(
        "        if self._socket is not None:\n            self._socket.send",
        "        socket = self._socket\n        if socket is not None:\n            socket.send",
    )
    assert shown(copied) == []


def test_a_class_has_three_reports_of_a_rule_and_the_others_are_named() -> None:
    reports = [report for report in shown(SEVERAL + LOOKS) if report.code == "CM101"]
    assert len(reports) == 3
    assert sum(one.what.startswith("also: ") for one in reports[0].related) == 1


def test_a_lock_of_the_object_around_guards() -> None:
    assert shown(OUTSIDE) == []


HANDED_OVER = """\
import _thread

def in_thread(function):
    done = _thread.allocate_lock()
    done.acquire()

    def run():
        function()
        done.release()

    _thread.start_new_thread(run, ())
    done.acquire()
"""


def test_a_lock_that_another_thread_releases_may_be_taken_twice() -> None:
    assert shown(HANDED_OVER, select=["CM206"]) == []
    alone = HANDED_OVER.replace("        done.release()\n", "        print(done)\n")
    assert [report.code for report in shown(alone, select=["CM206"])] == ["CM206"]


IN_THREAD = """\
import threading

class Pipeline:
    def __init__(self):
        self.nodes = {}
        self.thread = threading.Thread(target=self._watch)
        self.thread.start()

    def add(self, name):
        self.nodes[name] = 0

    def first(self):
        for name in self.nodes:
            print(name)

    def second(self):
        for name in self.nodes:
            print(name)

    def _watch(self):
        self.nodes["watch"] = 1
        self._update()

    def _update(self):
        for name in self.nodes:
            print(name)
"""


def test_of_three_places_that_are_as_sure_those_in_a_thread_come_first() -> None:
    functions = {report.function for report in shown(IN_THREAD) if report.code == "CM105"}
    assert functions == {"Pipeline.first", "Pipeline._update"}


COROUTINE = """\
class Server:
    def __init__(self, app):
        self.app = app
        self.clients = {}
        self.app.start_background_task(self.listen)

    {async_}def listen(self):
        self.clients.clear()

    def send(self):
        for client in self.clients:
            client.send()
"""


def test_a_coroutine_that_is_handed_to_a_starter_of_tasks_is_no_thread() -> None:
    text = "import threading\n" + COROUTINE
    assert [report.code for report in shown(text.replace("{async_}", ""))] == ["CM105"]
    assert shown(text.replace("{async_}", "async ")) == []
