"""The page at /debug/, in a real browser."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.watch.kit import browser, chromium
from threadproof import HashMap
from threadproof.stats import Registry
from threadproof.watch import Server, serve
from threadproof.watch.web.app import App, Request


class SameHash:
    """A key whose hash is that of all others."""

    def __hash__(self) -> int:
        return 7


@pytest.fixture
def kept() -> list[HashMap[Any, Any]]:
    return [HashMap(a=1), HashMap((SameHash(), n) for n in range(200))]


@pytest.fixture
def server(kept: list[HashMap[Any, Any]]) -> Iterator[Server]:
    watched = Registry()
    watched.add(kept[0], "<script>document.title = 'broken'</script>")
    watched.add(kept[1], "ill")
    with serve(watched=watched, token="right") as server:
        yield server


@browser
@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_shows_structures_and_findings(server: Server, tmp_path: Path, width: int) -> None:
    document = chromium(f"{server.url}/debug/#right", tmp_path, f"--window-size={width},900")
    assert 'data-shown="2"' in document
    assert "many keys of ill have equal hashes" in document
    assert "&lt;script&gt;document.title" in document  # a name is text, whatever it has in it
    assert "<title>threadproof</title>" in document


@browser
def test_without_the_token_it_shows_nothing_of_the_program(server: Server, tmp_path: Path) -> None:
    document = chromium(f"{server.url}/debug/", tmp_path)
    assert "a token is required" in document
    assert "equal hashes" not in document


def test_the_page_needs_no_other_file() -> None:
    response = App(token="right").respond(Request("GET", "/debug/"))
    assert response.status == 200
    text = response.body.decode()
    links = re.findall(r"(?:src|href)=|url\(|@import|https?://[^\"' ]+", text)
    assert set(links) <= {"http://www.w3.org/2000/svg"}
    assert "innerHTML" not in text
    assert "default-src 'none'" in response.headers["Content-Security-Policy"]
