"""The race detector under pytest: `pytest --race` fails the test in which two accesses raced.

One watch covers the whole run; what it finds while a test runs, its set-up and tear-down included, is that
test's. `--race-threads N` is for tests that have no threads of their own: each test function is called in N
threads at once, with the same fixtures, and the detector is the judge. Under pytest-xdist each worker watches
itself, and its findings travel with its reports.

pytest loads this module in every run, so it imports the detector only when asked for.
"""

from __future__ import annotations

import inspect
import os
import threading
from collections.abc import Callable, Generator, Sequence
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from threadproof.findings import Finding
    from threadproof.findings.suppress import Rule

MARKERS = {
    "race_allowed(*classes, variable=..., function=..., caller=..., file=..., reason=...)": (
        "races that are no failure of this test; without arguments, all"
    ),
    "race_threads(n)": "call this test in n threads at once, whatever --race-threads says",
}
# What pytest makes for one test at a time: two threads that use one of these race by that alone.
FOR_ONE = {"capsys", "capsysbinary", "capfd", "capfdbinary", "caplog", "monkeypatch", "recwarn", "pytester"}
PATIENCE = 60  # seconds a thread waits for the others to be ready; they only have to start


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("threadproof", "data races, by threadproof")
    group.addoption("--race", action="store_true", help="watch for data races; a test with one fails")
    group.addoption(
        "--race-sample",
        action="store_true",
        help="look at hot code now and then only, which costs little and finds less; means --race",
    )
    group.addoption(
        "--race-threads",
        type=int,
        default=0,
        metavar="N",
        help="call each test in N threads at once; means --race",
    )
    parser.addini("race_options", "options of the race detector, as in THREADPROOF_RACE", default="")


def pytest_configure(config: pytest.Config) -> None:
    for marker, meaning in MARKERS.items():
        config.addinivalue_line("markers", f"{marker}: {meaning}")
    threads = int(config.getoption("race_threads") or 0)
    if threads < 0:
        raise pytest.UsageError(f"--race-threads wants a number of threads, got {threads}")
    if config.getoption("race") or config.getoption("race_sample") or threads:
        config.pluginmanager.register(RacePlugin(config), "threadproof-race")


class RacePlugin:
    """One run of pytest with the detector; in a controller of pytest-xdist it only gathers."""

    def __init__(self, config: pytest.Config) -> None:
        from threadproof.findings.suppress import SuppressionError
        from threadproof.race.options import VARIABLE, OptionError, options_from
        from threadproof.race.report import Reporter
        from threadproof.race.session import Scope, Session

        texts = (config.getini("race_options"), os.environ.get(VARIABLE, ""))
        try:
            options = options_from({VARIABLE: ":".join(texts)})
            self.reporter = Reporter(options)
        except (OptionError, SuppressionError) as error:
            raise pytest.UsageError(str(error)) from None
        folders = [str(config.rootpath), str(config.invocation_params.dir)]
        scope = Scope(folders, options["include"], options["exclude"])
        sample = bool(options["sample"] or config.getoption("race_sample"))
        self.session = Session(scope, history=options["history"], sample=sample)
        self.threads = int(config.getoption("race_threads") or 0)
        self.running = False
        self.seen = 0  # races that have been given to a test
        self.known: dict[str, int] = {}  # fingerprint -> how bad it was where it was reported
        self.found: list[Finding] = []
        self.failures = 0  # reports that failed by races alone

    # --- the watch ---

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
            allowances(item)  # which says what cannot be read before anything runs

    # --- a test ---

    @pytest.hookimpl(tryfirst=True)
    def pytest_pyfunc_call(self, pyfuncitem: pytest.Function) -> object:
        """Call the test in several threads at once; None leaves the call to whoever is next."""
        count = self.threads_for(pyfuncitem)
        if count < 2 or inspect.iscoroutinefunction(pyfuncitem.obj) or FOR_ONE & set(pyfuncitem.fixturenames):
            return None
        named = pyfuncitem._fixtureinfo.argnames
        arguments = {name: pyfuncitem.funcargs[name] for name in named}
        call_in_threads(pyfuncitem.name, count, lambda: pyfuncitem.obj(**arguments))
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
        from threadproof.findings.json import json_object
        from threadproof.findings.text import as_text

        text = "\n\n".join(map(as_text, bad))
        report.races = [json_object(finding) for finding in bad]  # type: ignore[attr-defined]
        if report.passed:
            report.outcome, report.longrepr = "failed", text
            report.only_races = True  # type: ignore[attr-defined]
        else:
            report.sections.append(("data races", text))
        return report

    def news(self, item: pytest.Item) -> list[Finding]:
        """What was found since the last call and counts, and has not been reported for another test."""
        before, self.seen = self.seen, self.session.races()
        found = self.reporter.findings(self.session, allowances(item), before) if self.seen > before else []
        bad = [finding for finding in found if self.reporter.is_bad(finding)]
        news = [f for f in bad if f.severity > self.known.get(f.fingerprint(), -1)]
        self.known |= {finding.fingerprint(): finding.severity for finding in news}
        return news

    # --- the end ---

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Also called in the controller of xdist, for what its workers report."""
        from threadproof.findings.json import from_object

        self.found += map(from_object, getattr(report, "races", ()))
        self.failures += getattr(report, "only_races", False)

    def pytest_report_teststatus(self, report: pytest.TestReport) -> tuple[str, str, str] | None:
        raced = getattr(report, "only_races", False) and report.when == "call"
        return ("failed", "R", "RACE") if raced else None  # elsewhere it is an error, as any failure is

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        from threadproof.race.report import RACE_FOUND

        if exitstatus == pytest.ExitCode.TESTS_FAILED and session.testsfailed == self.failures:
            session.exitstatus = RACE_FOUND
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
            for row in self.reporter.suppressions.unused(self.session.watched_files()):
                terminalreporter.write_line(row)
        terminalreporter.write_line(f"threadproof race: {summary(self.found)}")


def allowances(item: pytest.Item) -> list[Rule]:
    """What the markers of a test allow, as rules; UsageError for one that cannot be read."""
    from threadproof.findings.suppress import SuppressionError, rule_of
    from threadproof.race.kinds import KINDS

    rules = []
    for marker in item.iter_markers("race_allowed"):
        named = dict(marker.kwargs)
        reason = named.pop("reason", "")
        conditions = [f"{name}:{pattern}" for name, pattern in named.items()]
        for kind in marker.args or ("*",):
            line = " ".join([f"class:{kind}", *conditions])
            try:
                rules.append(
                    rule_of(f"{line} # {reason}", f"{item.nodeid}: race_allowed", {k.name for k in KINDS})
                )
            except SuppressionError as error:
                raise pytest.UsageError(str(error)) from None
    return rules


def call_in_threads(name: str, count: int, function: Callable[[], object]) -> None:
    """Call it in `count` threads that begin together; raises what one raised, a failure before a skip."""
    __tracebackhide__ = True
    raised: list[BaseException] = []
    ready = threading.Barrier(count)

    def run() -> None:
        __tracebackhide__ = True
        try:
            ready.wait(PATIENCE)
            function()
        except BaseException as error:
            raised.append(error)

    threads = [
        threading.Thread(target=run, name=f"{name} in thread {number}") for number in range(1, count + 1)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for error in sorted(raised, key=lambda error: isinstance(error, pytest.skip.Exception)):
        raise error
