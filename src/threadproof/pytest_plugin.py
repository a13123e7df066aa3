"""The tools under pytest: the race detector, the explorer, the check for leaks.

`pytest --race` fails the test during which two accesses raced.

One session watches the whole run. A race found during a test, its set-up or its tear-down belongs to that
test. `--race-threads N` is for tests without threads: each test function is called in N threads at once, with
one set of fixtures. Under pytest-xdist each worker has a session, and its findings travel with its reports.

`@pytest.mark.explore` runs a test under many schedules; `pytest --explore` does so with every test. All
schedules of a test have the same fixtures.

`pytest --watch-leaks` fails the test after which maps or threads have grown; watch/pytest_leaks.py has it.

pytest loads this module in every run, so it imports a tool only when that is asked for.
"""

from __future__ import annotations

import inspect
import os
import threading
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from threadproof.explore import Exploration
    from threadproof.findings import Finding
    from threadproof.findings.suppress import Suppression

MARKERS = {
    "race_allowed(*rules, variable=..., function=..., caller=..., file=..., reason=...)": (
        "races that do not fail this test; without arguments, all"
    ),
    "explore(strategy=..., schedules=..., seconds=..., seed=..., bound=..., timeouts=..., steps=...)": (
        "run this test under many schedules of its threads, until one fails"
    ),
    "race_threads(n)": "call this test in n threads at once, instead of the number of --race-threads",
}
# Fixtures that pytest makes for one test at a time: two threads that use one of them race on it.
FOR_ONE = {"capsys", "capsysbinary", "capfd", "capfdbinary", "caplog", "monkeypatch", "recwarn", "pytester"}
PATIENCE = 60  # seconds that a thread waits for the others to start: longer means that one cannot


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("threadproof", "data races, by threadproof")
    group.addoption("--race", action="store_true", help="watch for data races; a test with a race fails")
    group.addoption(
        "--race-sample",
        action="store_true",
        help="as --race, but watch a sample of hot code: costs little, and finds less",
    )
    group.addoption(
        "--race-threads",
        type=int,
        default=0,
        metavar="N",
        help="as --race, and call each test in N threads at once",
    )
    group.addoption(
        "--explore", action="store_true", help="run each test under many schedules of its threads"
    )
    group.addoption(
        "--explore-replay", default="", metavar="TOKEN", help="run the selected test under this schedule only"
    )
    parser.addini("explore_options", "options of the explorer, as in THREADPROOF_EXPLORE", default="")
    leaks = parser.getgroup("threadproof-watch", "leaks, by threadproof")
    leaks.addoption(
        "--watch-leaks",
        action="store_true",
        help="fail a test after which maps have more keys than before, or more threads run",
    )
    parser.addini("race_options", "options of the race detector, as in THREADPROOF_RACE", default="")


def pytest_configure(config: pytest.Config) -> None:
    for marker, meaning in MARKERS.items():
        config.addinivalue_line("markers", f"{marker}: {meaning}")
    threads = int(config.getoption("race_threads") or 0)
    if threads < 0:
        raise pytest.UsageError(f"--race-threads wants a number of threads, got {threads}")
    races = config.getoption("race") or config.getoption("race_sample") or threads
    replay = config.getoption("explore_replay")
    if races and (config.getoption("explore") or replay):
        raise pytest.UsageError("--race and --explore watch the same threads: run them one after the other")
    if races:
        config.pluginmanager.register(RacePlugin(config), "threadproof-race")
    else:
        config.pluginmanager.register(ExplorePlugin(config), "threadproof-explore")
    config.addinivalue_line("markers", "leaks_allowed(reason): maps and threads may grow in this test")
    if config.getoption("watch_leaks"):
        from threadproof.watch.pytest_leaks import LeakPlugin

        config.pluginmanager.register(LeakPlugin(), "threadproof-leaks")


class RacePlugin:
    """One run of pytest with the detector; in a controller of pytest-xdist it only collects findings."""

    def __init__(self, config: pytest.Config) -> None:
        from threadproof.findings.model import remember_folder
        from threadproof.findings.options import OptionError
        from threadproof.findings.reporter import Reporter
        from threadproof.findings.suppress import SuppressionError
        from threadproof.race.options import OPTIONS
        from threadproof.race.report import DETECTOR
        from threadproof.race.session import Scope, Session

        remember_folder()
        ini = str(config.getini("race_options"))
        try:
            options = OPTIONS.read(os.environ, ini=ini, ini_name="race_options", folder=config.rootpath)
            self.reporter = Reporter(DETECTOR, options)
            self.reporter.check_outputs()
        except (OptionError, SuppressionError) as error:
            raise pytest.UsageError(str(error)) from None
        except OSError as error:
            raise pytest.UsageError(f"cannot write {error.filename!r}: {error.strerror}") from None
        folders = [str(config.rootpath), str(config.invocation_params.dir)]
        scope = Scope(folders, options["include"], options["exclude"])
        sample = bool(options["sample"] or config.getoption("race_sample"))
        self.session = Session(scope, history=options["history"], sample=sample, order_io=options["order_io"])
        self.threads = int(config.getoption("race_threads") or 0)
        self.running = False
        self.seen = 0  # races that were assigned to a test
        self.known: dict[str, int] = {}  # fingerprint -> the severity reported for it
        self.found: list[Finding] = []
        self.failures = 0  # reports that failed only because of races

    # --- the session ---

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self, session: pytest.Session) -> None:
        if session.config.pluginmanager.hasplugin("dsession"):
            return  # the controller of xdist runs no tests
        from threadproof.race import SelfTestError, UnsupportedError

        try:
            self.session.start()
        except (UnsupportedError, SelfTestError) as error:
            raise pytest.UsageError(str(error)) from None
        self.running = True

    def pytest_unconfigure(self) -> None:
        if self.running:
            self.session.stop()

    def pytest_collection_modifyitems(self, items: Sequence[pytest.Item]) -> None:
        for item in items:
            allowances(item)  # so that a marker with an error stops the run before any test

    # --- a test ---

    @pytest.hookimpl(tryfirst=True)
    def pytest_pyfunc_call(self, pyfuncitem: pytest.Function) -> object:
        """Call the test in several threads at once; None leaves the call to the next plugin."""
        count = self.threads_for(pyfuncitem)
        if count < 2 or inspect.iscoroutinefunction(pyfuncitem.obj) or FOR_ONE & set(pyfuncitem.fixturenames):
            return None
        named = pyfuncitem._fixtureinfo.argnames
        arguments = {name: pyfuncitem.funcargs[name] for name in named}
        call_in_threads(pyfuncitem.name, count, lambda number: pyfuncitem.obj(**own(arguments, number)))
        return True

    def threads_for(self, item: pytest.Item) -> int:
        marker = item.get_closest_marker("race_threads")
        return int(marker.args[0]) if marker else self.threads

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        bad = self.news(item) if self.running else []
        if not bad:
            return report
        from threadproof.findings.formats.json import json_object
        from threadproof.findings.formats.text import as_texts

        text = "\n\n".join(as_texts(bad))
        report.races = [json_object(finding) for finding in bad]  # type: ignore[attr-defined]
        if report.passed:
            report.outcome, report.longrepr = "failed", text
            report.only_races = True  # type: ignore[attr-defined]
        else:
            report.sections.append(("data races", text))
        return report

    def news(self, item: pytest.Item) -> list[Finding]:
        """The findings since the last call that count and were not reported for another test."""
        from threadproof.race.report import findings

        before, self.seen = self.seen, self.session.races()
        if self.seen == before:
            return []
        found = findings(self.reporter, self.session, allowances(item), before)
        bad = filter(self.reporter.counts, found)
        news = [f for f in bad if f.severity > self.known.get(f.fingerprint(), -1)]
        self.known |= {finding.fingerprint(): finding.severity for finding in news}
        return news

    # --- the end ---

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Also called in the controller of xdist, with the reports of its workers."""
        from threadproof.findings.formats.json import from_object

        self.found += map(from_object, getattr(report, "races", ()))
        self.failures += getattr(report, "only_races", False)

    def pytest_report_teststatus(self, report: pytest.TestReport) -> tuple[str, str, str] | None:
        raced = getattr(report, "only_races", False) and report.when == "call"
        return ("failed", "R", "RACE") if raced else None  # in a fixture it is an error, as any failure is

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        if exitstatus == pytest.ExitCode.TESTS_FAILED and session.testsfailed == self.failures:
            session.exitstatus = self.reporter.tool.found
        if not hasattr(session.config, "workerinput"):
            self.reporter.save(self.found)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        from threadproof.findings import summary

        terminalreporter.section("data races")
        for finding in self.found:
            terminalreporter.write_line(
                f"{finding.place}: {finding.severity}: {finding.rule}: {finding.subject}"
            )
        if self.running:
            for row in self.reporter.unused(self.session.watched_files()):
                terminalreporter.write_line(row)
        terminalreporter.write_line(f"{self.reporter.tool.title}: {summary(self.found)}")
        if self.running:
            terminalreporter.write_line(f"{self.reporter.tool.title}: {self.session.summary()}")


class ExplorePlugin:
    """Runs tests under many schedules: all of them, or those with the marker."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.all = bool(config.getoption("explore") or config.getoption("explore_replay"))
        self.values: dict[str, Any] | None = None
        self.found: pytest.StashKey[Exploration] = pytest.StashKey()

    def settings(self, marker: pytest.Mark | None) -> dict[str, Any]:
        """The options of pyproject.toml, the configuration, the environment and the marker."""
        from threadproof.explore.options import OPTIONS, settings
        from threadproof.findings.options import OptionError

        if self.values is None:
            try:
                self.values = OPTIONS.read(
                    os.environ,
                    ini=self.config.getini("explore_options"),
                    ini_name="explore_options",
                    folder=self.config.rootpath,
                )
            except OptionError as error:
                raise pytest.UsageError(str(error)) from None
        own = dict(marker.kwargs) if marker else {}
        if replay := self.config.getoption("explore_replay"):
            own["replay"] = replay
        return {**settings(self.values), **own}

    @pytest.hookimpl(tryfirst=True)
    def pytest_pyfunc_call(self, pyfuncitem: pytest.Function) -> object:
        """Explore the test; None leaves the call to the next plugin."""
        __tracebackhide__ = True
        marker = pyfuncitem.get_closest_marker("explore")
        if not (marker or self.all) or inspect.iscoroutinefunction(pyfuncitem.obj):
            return None
        from threadproof.explore import TokenError, UnsupportedError, explore

        arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
        roots = [str(pyfuncitem.path.parent), str(self.config.rootpath)]
        try:
            found = explore(
                lambda: pyfuncitem.obj(**arguments),
                name=pyfuncitem.nodeid,
                roots=roots,
                **self.settings(marker),
            )
        except UnsupportedError as error:
            pytest.skip(str(error))
        except (TokenError, ValueError, TypeError) as error:
            pytest.fail(str(error), pytrace=False)
        found.command = f"pytest {pyfuncitem.nodeid} --explore-replay "
        pyfuncitem.stash[self.found] = found
        fail_with(found)
        return True

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        found = item.stash.get(self.found, None)
        if found is not None and call.when == "call":
            report.sections.append(("explored", found.report()))
        return report


def fail_with(found: Exploration) -> None:
    """Raise what the failing schedule has raised; a deadlock has raised nothing."""
    __tracebackhide__ = True
    if found.failure and found.failure.error:
        raise found.failure.error
    if found.failure or found.diverged:
        pytest.fail(found.headline() if found.failure else found.diverged, pytrace=False)


def allowances(item: pytest.Item) -> list[Suppression]:
    """The races that a test's markers allow; UsageError for a marker that cannot be read."""
    from threadproof.findings.suppress import SuppressionError, suppression_of
    from threadproof.race.report import DETECTOR

    allowed = []
    for marker in item.iter_markers("race_allowed"):
        named = dict(marker.kwargs)
        reason = named.pop("reason", "")
        conditions = " ".join(f"{name}:{pattern}" for name, pattern in named.items())
        for rule in marker.args or ("*",):
            line = f"rule:{rule} {conditions} # {reason}"
            try:
                allowed.append(suppression_of(line, f"{item.nodeid}: race_allowed", DETECTOR.rule_names))
            except SuppressionError as error:
                raise pytest.UsageError(str(error)) from None
    return allowed


def own(arguments: dict[str, object], number: int) -> dict[str, object]:
    """A thread's own arguments: a temporary folder is for one test, and here there are several at once."""
    folder = arguments.get("tmp_path")
    if not isinstance(folder, Path):
        return arguments
    mine = folder / f"thread-{number}"
    mine.mkdir(exist_ok=True)
    return {**arguments, "tmp_path": mine}


def call_in_threads(name: str, count: int, function: Callable[[int], object]) -> None:
    """Call it with 1, 2, ... in threads that begin together; raises one of their exceptions, a skip last."""
    __tracebackhide__ = True
    raised: list[BaseException] = []
    ready = threading.Barrier(count)

    def run(number: int) -> None:
        __tracebackhide__ = True
        try:
            ready.wait(PATIENCE)
            function(number)
        except BaseException as error:
            raised.append(error)

    threads = [
        threading.Thread(target=run, args=(number,), name=f"{name} in thread {number}")
        for number in range(1, count + 1)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for error in sorted(raised, key=lambda error: isinstance(error, pytest.skip.Exception)):
        raise error
