"""A linter for threads: finds races, deadlocks and broken locking in source, without running it.

    rule        LintRule and Report: what a rule is, and what it reports
    rules/      one file for each rule
    facts/      one walk over a file's syntax tree, which makes the facts that rules read
    tree/       the facts of all files joined: names, callers, threads, what is shared
    knowledge/  tables: locks, containers, calls that start threads or wait
    engine      files -> facts -> reports, in processes and with a cache
    pages       the rules as pages, for --explain and docs/lint
    options, selection, noqa, findings, fixing    from reports to what the user asked for
    testing     a kit for tests of rules

Nothing here needs the extension, nor runs the code that it reads.
"""

from threadproof.lint.rule import LintRule, Part, Related, Report

__all__ = ["LintRule", "Part", "Related", "Report"]
