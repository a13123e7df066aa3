"""The report's formats, read back by something that shares no code with their writers."""

from __future__ import annotations

import gzip
import json
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.kit.waiting import until
from tests.watch.kit import browser, chromium
from threadproof import _core

if not hasattr(_core, "contention"):
    pytest.skip("the contention profiler needs CPython 3.14", allow_module_level=True)

from threadproof.watch.contention import Report, profile
from threadproof.watch.contention.formats import FILES, as_collapsed, as_html, as_pprof

busy = threading.Lock()


def wait_for_it() -> None:
    with busy:
        pass


@pytest.fixture(scope="module")
def report() -> Report:
    """Of one wait at one lock, by a thread that was asleep when the lock was released."""
    with profile() as recorded:
        busy.acquire()
        thread = threading.Thread(target=wait_for_it, name="waiter")
        thread.start()
        until(lambda: _core.probe.lock_state(busy)[2])
        busy.release()
        thread.join()
    return recorded.report()


# --- pprof ---


def fields(data: bytes) -> Iterator[tuple[int, Any]]:
    """The fields of a message in protocol buffers, by the wire format: (number, an int or bytes)."""
    at = 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(data):
        key = varint()
        if key & 7 == 0:
            yield key >> 3, varint()
        else:
            assert key & 7 == 2, f"wire type {key & 7}"
            size = varint()
            yield key >> 3, data[at : at + size]
            at += size


def all_of(data: bytes, number: int) -> list[Any]:
    return [value for field, value in fields(data) if field == number]


def numbers(data: bytes) -> list[int]:
    """A packed field."""
    values, value, shift = [], 0, 0
    for byte in data:
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            values.append(value)
            value = shift = 0
    return values


def test_a_pprof_profile_has_the_stacks_and_values_of_waiter_and_holder(report: Report) -> None:
    data = gzip.decompress(as_pprof(report))
    strings = [text.decode() for text in all_of(data, 6)]
    assert strings[0] == ""
    types = [dict(fields(each)) for each in all_of(data, 1)]
    named = [(strings[each[1]], strings[each[2]]) for each in types]
    assert named[:2] == [("contentions", "count"), ("delay", "nanoseconds")]
    functions = {each[1]: strings[each[2]] for each in map(dict, map(fields, all_of(data, 5)))}
    lines = {}
    for location in all_of(data, 4):
        (line,) = all_of(location, 4)
        lines[dict(fields(location))[1]] = functions[dict(fields(line))[1]]
    samples = []
    for sample in all_of(data, 2):
        labels = [dict(fields(each)) for each in all_of(sample, 3)]
        texts = {strings[each[1]]: strings[each[2]] for each in labels}
        stack = [lines[number] for number in numbers(all_of(sample, 1)[0])]
        samples.append((texts["object"], stack, numbers(all_of(sample, 2)[0])))
    waits = [(stack, values) for title, stack, values in samples if title == "Lock busy" and values[0]]
    holds = [(stack, values) for title, stack, values in samples if title == "Lock busy" and values[2]]
    ((waiter, values),) = waits
    assert waiter[0] == "wait_for_it"
    assert values[1] > 0
    assert values == [1, values[1], 0, 0]
    ((holder, values),) = holds
    assert holder[0] == "report"
    assert values == [0, 0, 1, values[3]]


# --- the others ---


def test_collapsed_stacks_end_with_the_object_and_its_nanoseconds(report: Report) -> None:
    (line,) = [line for line in as_collapsed(report).splitlines() if "Lock busy" in line]
    stack, _, delay = line.rpartition(" ")
    assert re.search(r"wait_for_it \(.*\);Lock busy$", stack)
    assert int(delay) > 0


def test_the_page_needs_no_network_and_holds_the_data(report: Report) -> None:
    page = as_html(report)
    assert not re.search(r"(src|href)=|https?://(?!www\.w3\.org/2000/svg)|@import", page)
    assert "prefers-color-scheme: dark" in page
    found = re.search(r"^const data = (.*);$", page, re.MULTILINE)
    assert found
    data = json.loads(found[1])
    assert "Lock busy" in [each["object"] for each in data["stacks"]]
    assert "waiter" in [each["name"] for each in data["timeline"]["threads"]]


@browser
@pytest.mark.parametrize("width", [390, 1280])
def test_a_browser_draws_the_table_the_flame_graph_and_the_timeline(
    report: Report, tmp_path: Path, width: int
) -> None:
    page = tmp_path / "page.html"
    report.write("html", page)
    document = chromium(page.as_uri(), tmp_path / "user", f"--window-size={width},900")
    table = document[document.index('<tbody id="objects">') : document.index("</tbody>")]
    assert "<td>Lock busy</td>" in table
    flame = document[document.index('<svg id="flame"') : document.index('<svg id="timeline"')]
    assert re.search(r"<title>wait_for_it \([^<]*\): [0-9.]+ [mun]?s</title>", flame)
    assert 'class="box lock"' in flame
    timeline = document[document.index('<svg id="timeline"') :]
    assert ">waiter</text>" in timeline
    assert re.search(r"<title>Lock busy: [^<]* for MainThread</title>", timeline)


def test_a_name_cannot_end_the_script_of_the_page(report: Report) -> None:
    assert as_html(report).count("</script>") == 1


def test_json_says_its_version_and_names_holder_and_waiter(report: Report) -> None:
    data = json.loads(report.to_json())
    assert data["version"] == 1
    (found,) = [each for each in data["objects"] if each["title"] == "Lock busy"]
    (path,) = found["paths"]
    assert (path["waiter"]["function"], path["holder"]["function"]) == ("wait_for_it", "report")
    assert list(path["waiter_threads"]) == ["waiter"]


@pytest.mark.parametrize("name", FILES)
def test_each_format_is_written_to_a_file(report: Report, name: str, tmp_path: Path) -> None:
    report.write(name, tmp_path / "report")
    assert (tmp_path / "report").read_bytes() == FILES[name](report)
