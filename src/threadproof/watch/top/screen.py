"""The table on a screen, by Textual: pip install 'threadproof[live]'."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

from rich.text import Text
from textual import work
from textual.app import App, ComposeResult
from textual.binding import BindingType
from textual.widgets import DataTable, Footer, Input, Static

from threadproof.watch.top.client import Client, UnreachableError
from threadproof.watch.top.recording import RecordingError, Session, Source
from threadproof.watch.top.rows import RANKS, Row, Rows
from threadproof.watch.top.text import WIDTHS, cells, cut, number

COLOURS = {"error": "red", "warning": "yellow", "ok": "green", "unknown": "dim"}
SORTS = ("checks", "name", "size", "growth/s", "waits/s")


class Top(App[None]):
    """Structures of one program, asked for every `interval` seconds in a thread."""

    TITLE = "threadproof top"
    CSS = """
    #status { height: 1; }
    #findings { height: auto; max-height: 6; }
    #details { height: auto; max-height: 10; display: none; }
    #filter { display: none; height: 3; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        ("q", "quit", "quit"),
        ("p", "pause", "pause"),
        ("s", "sort", "sort"),
        ("f", "filter", "filter"),
        ("d", "details", "details"),
    ]

    def __init__(self, client: Source, interval: float = 2.0) -> None:
        super().__init__()
        self.client, self.interval = client, interval
        self.rows, self.shown = Rows(), list[Row]()
        self.answer: dict[str, Any] = {}
        self.paused = False
        self.sorted_by = SORTS[0]
        self.wanted = ""

    def compose(self) -> ComposeResult:
        """Status, table, details, findings, keys."""
        yield Static("…", id="status", markup=False)
        yield Input(placeholder="name or kind", id="filter")
        yield DataTable(cursor_type="row", zebra_stripes=True)
        yield Static("", id="details", markup=False)
        yield Static("", id="findings", markup=False)
        yield Footer()

    def on_mount(self) -> None:
        """Begin to ask."""
        table = self.query_one(DataTable)
        for name, width in WIDTHS.items():
            table.add_column(name, width=width, key=name)
        table.add_column("trend", width=20, key="trend")
        table.focus()
        self.set_interval(self.interval, self.ask)
        self.ask()

    @work(thread=True, exclusive=True)
    def ask(self) -> None:
        if self.paused:
            return
        try:
            answer = self.client.fetch()
        except (UnreachableError, RecordingError) as error:
            self.call_from_thread(self.query_one("#status", Static).update, str(error))
            return
        self.call_from_thread(self.take, answer)

    def take(self, answer: dict[str, Any]) -> None:
        self.answer = answer
        self.shown = self.rows.add(answer)
        self.draw()

    def draw(self) -> None:
        table = self.query_one(DataTable)
        at = table.cursor_row
        table.clear()
        for row in self.chosen():
            values = [cut(value, width) for value, width in zip(cells(row), WIDTHS.values(), strict=True)]
            line: list[Any] = [Text(value) for value in values]
            line[-1] = Text(row.verdict, COLOURS[row.verdict])
            table.add_row(*line, Text(row.trend), key=row.name)
        table.move_cursor(row=at)
        process = self.answer.get("process", {})
        words = f"{len(self.shown)} structures, {process.get('threads', 0)} threads, by {self.sorted_by}"
        self.query_one("#status", Static).update(f"{words}   {self.state()}")
        self.query_one("#findings", Static).update("\n".join(self.findings()))
        self.draw_details()

    def state(self) -> str:
        return "paused" if self.paused else self.client.url

    def findings(self) -> list[str]:
        return [
            f"{each['severity']}: {each['check']}: {each['message']}"
            for each in self.answer.get("findings", ())
        ]

    def chosen(self) -> list[Row]:
        found = [row for row in self.shown if self.wanted in f"{row.name} {row.kind}".lower()]
        keys = {
            "checks": lambda row: (-RANKS[row.verdict], row.name),
            "name": lambda row: row.name,
            "size": lambda row: -(row.size or 0),
            "growth/s": lambda row: -(row.growth or 0),
            "waits/s": lambda row: -(row.waits or 0),
        }
        return sorted(found, key=keys[self.sorted_by])

    def draw_details(self) -> None:
        rows, at = self.chosen(), self.query_one(DataTable).cursor_row
        if 0 <= at < len(rows):
            values = [
                f"{name} {number(value)}"
                for name, value in rows[at].stats.items()
                if not isinstance(value, list)
            ]
            self.query_one("#details", Static).update(f"{rows[at].name}: {', '.join(values)}")

    # --- keys ---

    def action_pause(self) -> None:
        """Stop asking, or go on."""
        self.paused = not self.paused
        self.draw()

    def action_sort(self) -> None:
        """Sort by the next column."""
        self.sorted_by = SORTS[(SORTS.index(self.sorted_by) + 1) % len(SORTS)]
        self.draw()

    def action_filter(self) -> None:
        """Ask for a part of a name."""
        field = self.query_one("#filter", Input)
        field.display = True
        field.focus()

    def action_details(self) -> None:
        """Show all metrics of the row, or hide them."""
        details = self.query_one("#details", Static)
        details.display = not details.display
        self.draw_details()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Filter at each key."""
        self.wanted = event.value.lower()
        self.draw()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Back to the table."""
        event.input.display = False
        self.query_one(DataTable).focus()


class Replay(Top):
    """The same of a recorded session: an answer every `interval` seconds, or by keys."""

    TITLE = "threadproof top --replay"
    BINDINGS: ClassVar[list[BindingType]] = [("comma", "step(-1)", "back"), ("full_stop", "step(1)", "on")]

    def __init__(self, session: Session, interval: float = 2.0) -> None:
        super().__init__(Client(session.url), interval)
        self.session, self.position = session, -1

    def ask(self) -> None:  # type: ignore[override] # no thread: it waits for nothing
        """Show the next answer; after the last one, that stays."""
        if not self.paused:
            self.show(self.position + 1)

    def show(self, position: int) -> None:
        """Show the answer of that number, or the nearest that there is."""
        self.position = min(max(position, 0), len(self.session.answers) - 1)
        self.answer = self.session.answers[self.position].answer
        self.shown = self.session.rows(self.position)
        self.draw()

    def action_step(self, by: int) -> None:
        """Pause, and show the answer before or after."""
        self.paused = True
        self.show(self.position + by)

    def state(self) -> str:
        when = datetime.fromtimestamp(self.session.answers[self.position].time).astimezone()
        paused = "paused, " if self.paused else ""
        return f"{paused}{self.position + 1} of {len(self.session.answers)}, {when:%Y-%m-%d %H:%M:%S}"
