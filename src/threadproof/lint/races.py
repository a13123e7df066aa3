"""What a run of the race detector says about the linter's reports, and the other way round."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import replace

from threadproof.findings import Finding
from threadproof.findings.formats.json import from_object
from threadproof.findings.options import OptionError
from threadproof.lint.facts.model import Span
from threadproof.lint.rule import Related, Report

NEAR = 3  # lines: a race is seen at the access, a report may stand at the test before it


def read_races(path: str) -> list[Finding]:
    """The findings that `threadproof race --json` wrote."""
    try:
        with open(path, encoding="utf-8") as file:
            return [from_object(made) for made in json.load(file)["findings"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise OptionError(f"--with-races: {path!r} has no findings of the race detector ({error})") from None


def confirmed(report: Report, races: Sequence[Finding]) -> Report:
    """The report as it is, or, if a race was seen at one of its places, as certain, with that race."""
    for race in races:
        seen = next((place for place in race.places() if touches(report, place.file, place.line)), None)
        if seen is not None:
            what = f"a run has seen it: {race.message}"
            related = [
                *report.related,
                Related(what, Span(seen.line, 0, seen.line, 1), seen.file, seen.function),
            ]
            return replace(report, confidence=1.0, related=related)
    return report


def touches(report: Report, file: str, line: int) -> bool:
    places = [(report.path, report.span), *((one.path or report.path, one.span) for one in report.related)]
    return any(
        span.line - NEAR <= line <= span.end_line + NEAR and os.path.realpath(path) == os.path.realpath(file)
        for path, span in places
    )


def ranked(reports: Iterable[Report], ran: Iterable[tuple[str, int]]) -> list[tuple[Report, bool]]:
    """The reports with whether a run reached them, those not reached first."""
    lines = {(os.path.realpath(file), line) for file, line in ran}
    marked = [(report, (os.path.realpath(report.path), report.span.line) in lines) for report in reports]
    return sorted(marked, key=lambda pair: (pair[1], -pair[0].confidence, pair[0].path, pair[0].span))
