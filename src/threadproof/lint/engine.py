"""From files to reports: read, parse, make facts, join them, and let the rules look.

Files are parsed in processes; each makes the facts of its files and runs the rules that need one file only.
The facts are joined in the main process, and processes forked from it, which have the join in their memory,
run the other rules.
"""

from __future__ import annotations

import ast
import gc
import multiprocessing
import os
import pickle
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from threadproof.lint.cache import Cache, key_of, linter_key
from threadproof.lint.facts.build import build
from threadproof.lint.facts.model import Module
from threadproof.lint.facts.slim import share, slim
from threadproof.lint.files import FileError, decode, module_name, read_bytes
from threadproof.lint.knowledge.signs import signs_in
from threadproof.lint.rule import LintRule, Part, Related, Report
from threadproof.lint.rules import all_rules
from threadproof.lint.source import Source
from threadproof.lint.tree import World, join
from threadproof.lint.tree.threads import CONCURRENT

# Below this a pool of processes costs more than it saves: about half a second of work.
FEW_FILES = 50
CHUNK = (
    8  # files that a process takes at once: enough to make the hand-over cheap, few enough to end together
)


@dataclass(slots=True)
class Parsed:
    """What one file gives: its facts, and the reports of the rules that need nothing else."""

    path: str
    module: Module | None
    reports: list[Report] = field(default_factory=list)
    error: str = ""
    line: int = 0  # of a syntax error
    key: str = ""  # of the content that was parsed; "" if there was none


@dataclass(slots=True)
class Result:
    """The reports of a run, in the order of files and lines, and the files that could not be linted."""

    reports: list[Report]
    errors: list[tuple[str, int, str]]  # path, line, one line of text
    files: list[str]


Show = Callable[[int], None]  # takes the number of files done


def parse(path: str, text: str, name: str, rules: Iterable[LintRule]) -> Parsed:
    """Take one file apart; a syntax error becomes the `error` of the result."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of escapes in other people's strings
            tree = ast.parse(text, path)
        module = build(tree, text.split("\n"), name, path, signs_in(text))
    except SyntaxError as error:
        return Parsed(path, None, error=f"syntax error: {error.msg}", line=error.lineno or 0)
    except (ValueError, RecursionError, MemoryError) as error:
        return Parsed(path, None, error=f"cannot be parsed: {str(error) or type(error).__name__}")
    source = Source(path, text, tree, module)
    reports = []
    for rule in rules:
        if rule.check_file is not None and any(word in text for word in rule.words):
            reports += [filled(report, rule, path) for report in rule.check_file(source)]
    slim(module)
    return Parsed(path, module, reports)


def filled(report: Report, rule: LintRule, path: str) -> Report:
    report.code = rule.code
    report.path = report.path or path
    return report


# Of one rule about one variable in one file. Who reads two has understood, and mends the others with them.
MOST = 2
# Of one rule about the variables of one class or module: more say that the whole class is used by one thread,
# or needs one lock, which is one thing to know.
MOST_OF_CLASS = 3


def check_tree(world: World, module: Module, rules: Iterable[LintRule]) -> Iterator[Report]:
    """What the rules that need all files report of one of them."""
    for rule in rules:
        if rule.check_tree is not None:
            reports: Iterable[Report] = check_rule(world, module, rule)
            if rule.per_function:
                reports = condensed(reports, lambda report: report.path + report.function, 1)
            if rule.per_variable:
                reports = condensed(reports, lambda report: report.subject, MOST)
                reports = condensed(reports, lambda report: report.subject.rpartition(".")[0], MOST_OF_CLASS)
            yield from reports


def condensed(reports: Iterable[Report], key: Callable[[Report], str], most: int) -> list[Report]:
    """At most so many reports of each key, the surest; the first of them names the places of the others.

    Of those that are as sure, the ones in code of a thread come first: an error there is what people see.
    """
    groups: dict[str, list[Report]] = {}
    for report in reports:
        groups.setdefault(key(report), []).append(report)
    kept: list[Report] = []
    for group in groups.values():
        group.sort(key=lambda report: (-report.confidence, not report.threaded, report.span))
        more = [Related(f"also: {one.message}", one.span, one.path, one.function) for one in group[most:]]
        group[0].related = [*group[0].related, *more]
        kept += group[:most]
    return kept


def check_rule(world: World, module: Module, rule: LintRule) -> Iterator[Report]:
    assert rule.check_tree is not None
    part = Part(module.name, module.path, list(module.functions.values()))
    for report in rule.check_tree(world, part):
        yield filled(placed(world, report, module), rule, module.path)


def placed(world: World, report: Report, module: Module) -> Report:
    """The report with the file of its function, and with names of functions as people write them."""
    modules = world.tree.module_of
    report.threaded = any(
        entry.kind in CONCURRENT for entry in world.threads.reached.get(report.function, ())
    )
    report.path = modules.get(report.function, module).path
    report.related = [
        replace(
            one, path=one.path or modules.get(one.function, module).path, function=short(world, one.function)
        )
        for one in report.related
    ]
    report.function = short(world, report.function)
    return report


def short(world: World, function: str) -> str:
    """A function's name within its module."""
    home = world.tree.module_of.get(function)
    return function.removeprefix(f"{home.name}.") if home else function


def lint(files: Iterable[tuple[str, str, str]], rules: Sequence[LintRule]) -> list[Report]:
    """The reports for files given as (path, module name, text)."""
    parsed = [parse(path, text, name, rules) for path, name, text in files]
    world = join(one.module for one in parsed if one.module is not None)
    reports = [report for one in parsed for report in one.reports]
    for module in world.tree.modules.values():
        reports += check_tree(world, module, rules)
    return ordered(reports)


def ordered(reports: Iterable[Report]) -> list[Report]:
    return sorted(reports, key=lambda report: (report.path, report.span, report.code, report.message))


@dataclass(slots=True)
class Loaded:
    """A file and the key of its content; `error` says why it could not be read.

    The content itself is read again where it is parsed: the texts of all files at once would be a tenth of
    the memory of a run.
    """

    path: str
    name: str
    key: str
    linter: str
    largest: int
    text: str | None = None  # in place of the file's own
    error: str = ""
    size: int = 0

    def content(self) -> bytes:
        """What is linted; FileError if it is too large or unreadable."""
        return read_bytes(self.path, self.largest) if self.text is None else self.text.encode()

    def key_with(self, data: bytes) -> str:
        return key_of([self.linter, self.path, self.name, data])


# --- whole trees, in several processes ---


@dataclass(slots=True)
class Engine:
    """One run over files on disk. `jobs` is the number of processes."""

    jobs: int = 1
    cache: Cache = field(default_factory=lambda: Cache(""))
    largest: int = 2 << 20
    show: Show = lambda done: None
    texts: dict[str, str] = field(default_factory=dict)  # instead of the files' own, as of an editor

    def run(self, paths: Sequence[str]) -> Result:
        """Lint the files of these paths."""
        with no_collections():
            return self.run_uncollected(paths)

    def run_uncollected(self, paths: Sequence[str]) -> Result:
        linter = linter_key()
        loaded = [self.load(path, linter) for path in paths]
        key = key_of([linter, *(one.key for one in loaded), *(one.error for one in loaded)])
        known = self.cache.run(key)
        if isinstance(known, Result):
            return known
        result, changed = self.lint(loaded)
        self.cache.close()
        if not changed:
            self.cache.save_run(key, result)
        return result

    def load(self, path: str, linter: str) -> Loaded:
        """Read a file and find its key."""
        one = Loaded(path, "", path, linter, self.largest, self.texts.get(path))
        try:
            data = one.content()
        except FileError as error:
            one.error = str(error)
            return one
        one.name = module_name(path, PACKAGES)
        one.key, one.size = one.key_with(data), len(data)
        return one

    def lint(self, loaded: Sequence[Loaded]) -> tuple[Result, bool]:
        """The result, and whether a file has changed since its key was made."""
        parsed = self.parse_all([one for one in loaded if not one.error])
        errors = [(one.path, 0, one.error) for one in loaded if one.error]
        errors += [(one.path, one.line, one.error) for one in parsed if one.error]
        reports = [report for one in parsed for report in one.reports]
        world = join(one.module for one in parsed if one.module is not None)
        reports += self.check_all(world)
        keys = {one.path: one.key for one in loaded}
        changed = any(one.key != keys[one.path] for one in parsed)
        return Result(ordered(reports), sorted(errors), [one.path for one in loaded]), changed

    def parse_all(self, loaded: Sequence[Loaded]) -> list[Parsed]:
        """The facts of files, from the cache or from their text.

        The largest come first: their syntax trees take the most memory, and the facts of all others come on
        top of that.
        """
        known = {one.key: data for one in loaded if (data := self.cache.take(one.key)) is not None}
        by_size = sorted(loaded, key=lambda one: -one.size)
        made = self.map([one for one in by_size if one.key not in known])
        found: dict[str, Parsed] = {}
        for number, one in enumerate(by_size, 1):
            data = known.pop(one.key, None)
            is_new = data is None
            parsed, data = next(made) if data is None else (unpacked(data), data)
            if data is not None and parsed.key:
                self.cache.put(parsed.key, data, is_new)
            found[one.path] = parsed
            self.show(number)
        return [found[one.path] for one in loaded]

    def map(self, items: Sequence[Loaded]) -> Iterator[tuple[Parsed, bytes | None]]:
        """The facts of each file, and the same pickled if that is needed."""
        if self.jobs <= 1 or len(items) < FEW_FILES:
            for one in items:
                parsed = parse_loaded(one)
                yield parsed, packed(parsed) if self.cache.folder else None
            return
        with ProcessPoolExecutor(self.jobs, multiprocessing.get_context(METHOD)) as pool:
            for data in pool.map(pack_loaded, items, chunksize=CHUNK):
                yield unpacked(data), data

    def check_all(self, world: World) -> list[Report]:
        modules = list(world.tree.modules.values())
        if self.jobs <= 1 or len(modules) < FEW_FILES or METHOD != "fork":
            rules = list(all_rules().values())
            return [report for module in modules for report in check_tree(world, module, rules)]
        WORLD.append(world)  # for the processes to inherit
        try:
            shares = [range(start, len(modules), self.jobs) for start in range(self.jobs)]
            with ProcessPoolExecutor(self.jobs, multiprocessing.get_context(METHOD)) as pool:
                return [report for reports in pool.map(check_share, shares) for report in reports]
        finally:
            WORLD.clear()


@contextmanager
def no_collections() -> Iterator[None]:
    """Collect no garbage: a quarter of the time went to it, and what is made here has no cycles."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


METHOD = "fork" if "fork" in multiprocessing.get_all_start_methods() else "spawn"
PACKAGES: dict[str, bool] = {}  # folder -> whether it is a package; asked for every file in it
WORLD: list[World] = []


def parse_loaded(one: Loaded) -> Parsed:
    """The facts of a file, with the key of the content that they are of."""
    try:
        data = one.content()
    except FileError as error:  # since its key was made
        return Parsed(one.path, None, error=str(error))
    try:
        text = decode(one.path, data) if one.text is None else one.text
    except FileError as error:
        parsed = Parsed(one.path, None, error=str(error))
    else:
        parsed = parse(one.path, text, one.name, all_rules().values())
    parsed.key = one.key_with(data)
    return parsed


def pack_loaded(one: Loaded) -> bytes:
    return packed(parse_loaded(one))


def packed(parsed: Parsed) -> bytes:
    return pickle.dumps(parsed, pickle.HIGHEST_PROTOCOL)


def unpacked(data: bytes) -> Parsed:
    parsed: Parsed = pickle.loads(data)
    if parsed.module is not None:
        share(parsed.module)
    return parsed


def check_share(numbers: range) -> list[Report]:
    world = WORLD[0]
    modules = list(world.tree.modules.values())
    rules = list(all_rules().values())
    return [report for number in numbers for report in check_tree(world, modules[number], rules)]


def processors() -> int:
    """The processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


__all__ = ["Engine", "Parsed", "Result", "check_tree", "decode", "lint", "parse", "processors"]
