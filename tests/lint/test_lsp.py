"""The language server, with pygls's own client in another process."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from lsprotocol import types as lsp
from pygls.lsp.client import LanguageClient

from tests.kit.hammer import PATIENCE
from threadproof.lint.rules import all_rules

TEXT = """\
import threading

for name in "ab":
    "\U0001d54f", threading.Thread(target=lambda: print(name)).start()
"""
pytestmark = pytest.mark.filterwarnings("ignore:'asyncio.iscoroutinefunction':DeprecationWarning")  # by pygls
COMMAND = [sys.executable, "-m", "threadproof", "lint", "--lsp"]


class Client(LanguageClient):
    """A client that keeps what is published."""

    def __init__(self) -> None:
        super().__init__("test", "1")
        self.published: asyncio.Queue[list[lsp.Diagnostic]] = asyncio.Queue()

        @self.feature(lsp.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS)  # type: ignore[untyped-decorator]
        def take(params: lsp.PublishDiagnosticsParams) -> None:
            self.published.put_nowait(list(params.diagnostics))


def with_server(path: Path, do: Callable[[Client, str], Awaitable[None]]) -> None:
    """Start the server, open a file of TEXT, and do something."""

    async def talk() -> None:
        client = Client()
        await client.start_io(*COMMAND)
        uri = path.as_uri()
        await client.initialize_async(lsp.InitializeParams(capabilities=lsp.ClientCapabilities()))
        client.initialized(lsp.InitializedParams())
        item = lsp.TextDocumentItem(uri, "python", 1, TEXT)
        client.text_document_did_open(lsp.DidOpenTextDocumentParams(item))
        await do(client, uri)
        await client.shutdown_async(None)
        client.exit(None)
        await client.stop()  # type: ignore[no-untyped-call]

    asyncio.run(asyncio.wait_for(talk(), PATIENCE))


def test_a_file_gets_diagnostics_when_opened_and_changed(tmp_path: Path) -> None:
    async def check(client: Client, uri: str) -> None:
        (found,) = await client.published.get()
        assert found.code == "CM301"
        begin = (
            TEXT.split("\n")[3].index("print(name)") + len("print(") + 1
        )  # one character outside is two units of UTF-16
        assert found.range.start == lsp.Position(3, begin)
        whole = lsp.TextDocumentContentChangeWholeDocument("x = 1\n")
        document = lsp.VersionedTextDocumentIdentifier(2, uri)
        client.text_document_did_change(lsp.DidChangeTextDocumentParams(document, [whole]))
        assert await client.published.get() == []

    with_server(tmp_path / "a.py", check)


def test_hover_has_the_rule_s_page_and_a_quick_fix_its_edit(tmp_path: Path) -> None:
    async def check(client: Client, uri: str) -> None:
        (found,) = await client.published.get()
        document = lsp.TextDocumentIdentifier(uri)
        hover = await client.text_document_hover_async(lsp.HoverParams(document, found.range.start))
        assert hover is not None
        assert isinstance(hover.contents, lsp.MarkupContent)
        assert hover.contents.value.startswith("# CM301 late-binding-thread-closure")
        context = lsp.CodeActionContext([found])
        actions = await client.text_document_code_action_async(
            lsp.CodeActionParams(document, found.range, context)
        )
        titles = [action.title.partition(":")[2] for action in actions or []]
        assert titles == [f" {all_rules()['CM301'].advice}", " suppress it with a comment"]
        fix = (actions or [])[0]
        assert isinstance(fix, lsp.CodeAction)
        assert fix.edit is not None
        assert fix.edit.changes is not None
        (edit,) = fix.edit.changes[uri]
        assert edit.new_text == " name=name"

    with_server(tmp_path / "a.py", check)


def test_options_of_the_project_hold(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.threadproof.lint]\nignore = ["CM301"]\n')

    async def check(client: Client, uri: str) -> None:
        assert await client.published.get() == []

    with_server(tmp_path / "a.py", check)
