"""A rule and what it reports; a rule knows nothing of files, options and output."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from threadproof.findings import Severity
from threadproof.lint.facts.model import Function, Span

if TYPE_CHECKING:
    from threadproof.lint.fixes import Edit
    from threadproof.lint.source import Source
    from threadproof.lint.tree import World


@dataclass(frozen=True, slots=True)
class Related:
    """Another place that belongs to a report, with what happens there."""

    what: str
    span: Span
    path: str = ""  # the file, if it is another one
    function: str = ""


@dataclass(slots=True)
class Report:
    """A finding of a rule. `subject` names the variable or lock; `confidence` is between 0 and 1."""

    span: Span
    message: str
    function: str = ""
    subject: str = ""
    related: Sequence[Related] = ()
    fix: str = ""  # what to do, in one line; the rule's own advice unless given
    why: str = ""
    confidence: float = 1.0
    severity: Severity | None = None  # the rule's own unless given
    threaded: bool = False  # filled in by the engine: a thread that the tree starts comes here
    path: str = ""  # filled in by the engine
    code: str = ""  # filled in by the engine
    data: dict[str, str] = field(default_factory=dict)  # for the rule's own fix


FileCheck = Callable[["Source"], Iterator[Report]]
TreeCheck = Callable[["World", "Part"], Iterator[Report]]
Fix = Callable[["Source", Report], "Sequence[Edit]"]


@dataclass(slots=True)
class Part:
    """The part of a tree that one call of a tree rule reports on: one module."""

    name: str
    path: str
    functions: Sequence[Function]


@dataclass(frozen=True, slots=True)
class LintRule:
    """A rule as a value; the docstring of the module that defines it is its page.

    `group` says when it runs: "default", "preview" (with --preview) or "optional" (only if selected).
    `confidence` is how sure a report is unless it says so itself; `min_confidence` what is shown of it.
    `words`: a file without any of them has nothing for this rule.
    """

    code: str
    name: str
    message: str
    severity: Severity
    group: str
    advice: str
    since: str = "0.2"
    cwe: int = 362
    fix_safety: str = ""  # "safe", "unsafe", or "" for no fix
    min_confidence: float = 0.45
    per_variable: bool = False  # a variable with many reports shows the surest only
    per_function: bool = False  # one report for all variables of a function, as one lock mends them all
    words: Sequence[str] = ()
    check_file: FileCheck | None = None
    check_tree: TreeCheck | None = None
    fix: Fix | None = None
    page: str = ""
