"""SARIF 2.1.0: the required and optional properties of each object that is used, as the standard has them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from tests.findings.examples import EXAMPLES, RACE
from threadproof.findings.formats.sarif import as_sarif

# Object: (required, optional) properties, of sections 3.13 to 3.49 of the standard, as far as used here.
SHAPES: dict[str, tuple[set[str], set[str]]] = {
    "log": ({"version", "runs"}, {"$schema"}),
    "run": ({"tool"}, {"columnKind", "originalUriBaseIds", "results"}),
    "tool": ({"driver"}, set()),
    "driver": ({"name"}, {"version", "rules"}),
    "rule": ({"id"}, {"help"}),
    "result": (
        {"message"},
        {
            "ruleId", "level", "locations", "relatedLocations", "codeFlows", "partialFingerprints",
            "occurrenceCount", "suppressions",
        },
    ),
    "codeFlow": ({"threadFlows"}, {"message"}),
    "threadFlow": ({"locations"}, {"message"}),
    "threadFlowLocation": (set(), {"location"}),
    "location": (set(), {"physicalLocation", "logicalLocations", "message"}),
    "physicalLocation": ({"artifactLocation"}, {"region"}),
    "region": ({"startLine"}, {"startColumn", "endColumn", "snippet"}),
    "suppression": ({"kind"}, {"justification"}),
}  # fmt: skip
CHILDREN = {
    "runs": "run", "tool": "tool", "driver": "driver", "rules": "rule", "results": "result",
    "locations": "location", "relatedLocations": "location", "location": "location", "codeFlows": "codeFlow",
    "threadFlows": "threadFlow", "physicalLocation": "physicalLocation", "region": "region",
    "suppressions": "suppression",
}  # fmt: skip


def objects(node: dict[str, Any], shape: str = "log") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every object of the log that has a shape, with the name of the shape."""
    yield shape, node
    for name, value in node.items():
        child = "threadFlowLocation" if (shape, name) == ("threadFlow", "locations") else CHILDREN.get(name)
        for part in value if isinstance(value, list) else [value]:
            if child:
                yield from objects(part, child)


LOG = json.loads(as_sarif(EXAMPLES, RACE))


def each(shape: str) -> list[dict[str, Any]]:
    return [node for name, node in objects(LOG) if name == shape]


def test_every_object_has_its_required_properties_and_none_that_the_standard_lacks() -> None:
    for shape, node in objects(LOG):
        required, optional = SHAPES[shape]
        assert required <= node.keys() <= required | optional, shape


def test_every_rule_is_described_once_and_levels_are_those_of_the_standard() -> None:
    rules = [rule["id"] for rule in each("rule")]
    assert sorted(set(rules)) == rules
    assert {result["ruleId"] for result in each("result")} == set(rules)
    assert {result["level"] for result in each("result")} <= {"error", "warning", "note", "none"}


def test_lines_and_columns_count_from_one_and_end_after_they_begin() -> None:
    for region in each("region"):
        assert region["startLine"] >= 1
        assert 1 <= region.get("startColumn", 1) < region.get("endColumn", 2)


def test_files_are_named_from_a_root_that_ends_in_a_slash() -> None:
    (run,) = each("run")
    assert run["originalUriBaseIds"]["ROOT"]["uri"].endswith("/")
    for node in each("physicalLocation"):
        file = node["artifactLocation"]
        assert re.fullmatch(r"[\w./%-]+" if "uriBaseId" in file else r"file:///.*", file["uri"])


def test_each_side_of_a_finding_is_a_thread_flow_with_the_outermost_call_first() -> None:
    first, *_ = each("codeFlow")
    steps = [flow["message"]["text"].split()[0] for flow in first["threadFlows"]]
    assert steps == ["read", "earlier", "teller"]
    calls = first["threadFlows"][0]["locations"]
    lines = [call["location"]["physicalLocation"]["region"]["startLine"] for call in calls]
    assert lines == [16, 11]


def test_suppressed_findings_are_included_with_where_and_why() -> None:
    *_, last = each("result")
    assert last["suppressions"] == [{"kind": "inSource", "justification": "app.py:3: a test <double>"}]
    assert len(last["partialFingerprints"]["threadproof/v1"]) == 16
