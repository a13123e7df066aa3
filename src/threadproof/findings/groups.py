"""Groups of findings that probably have one cause: of each, a report prints one whole and lists the others.

A finding has marks of its cause, such as "methods of Cache, with no lock held". Findings that share a mark
are one group, and so are those that share marks with a third one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from threadproof.findings.model import Finding


def grouped(findings: Iterable[Finding]) -> list[Finding]:
    """The same findings. The group of one that has marks is the fingerprint of the group's first finding."""
    listed = list(findings)
    groups = groups_of([finding.causes for finding in listed])
    names: dict[int, str] = {}
    for group, finding in zip(groups, listed, strict=True):
        names.setdefault(group, finding.fingerprint())
    return [
        replace(finding, group=names[group] if finding.causes else "")
        for group, finding in zip(groups, listed, strict=True)
    ]


def groups_of(marks: Sequence[Sequence[str]]) -> list[int]:
    """For each set of marks, the first index with which it is connected."""
    firsts = list(range(len(marks)))
    holders: dict[str, int] = {}  # mark -> an index that has it

    def first(index: int) -> int:
        while firsts[index] != index:
            index = firsts[index]
        return index

    for index, own in enumerate(marks):
        for mark in own:
            one, other = sorted((first(index), first(holders.setdefault(mark, index))))
            firsts[other] = one
    return [first(index) for index in range(len(marks))]


def by_group(findings: Iterable[Finding]) -> list[list[Finding]]:
    """The findings of each group together, in order; a finding without a group is one of its own."""
    groups: dict[object, list[Finding]] = {}
    for finding in findings:
        groups.setdefault(finding.group or id(finding), []).append(finding)
    return list(groups.values())
