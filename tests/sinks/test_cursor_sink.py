"""An exporter between a real ledger and a destination that fails: nothing lost, nothing twice (F18, F19)."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from streamgauge.cli.exporters import ExportSource
from streamgauge.ledger.schema import open_for_writing
from streamgauge.sinks.cursor import Closed, CursorSink, Refused, Unavailable
from streamgauge.sinks.dead_letters import DeadLetters
from streamgauge.sinks.dropped import Dropped

from ..ledger.made_ledger import add, exchanges

WITHIN = 20.0


class FakeDestination:
    """Implements Destination. `refuses`: ids it never takes. `fails`: how often it is away."""

    def __init__(self, refuses: Sequence[str] = (), fails: int = 0) -> None:
        self.refuses = set(refuses)
        self.fails = fails
        self.concluding_fails = 0
        self.rows: list[str] = []
        self.batches: list[int] = []
        self.states: list[str | None] = []
        self.drops: list[Dropped] = []
        self.closed = False
        self.changed = threading.Condition()

    def send(self, rows: Sequence[Closed]) -> None:
        with self.changed:
            self.changed.notify_all()
            if self.fails:
                self.fails -= 1
                raise Unavailable("HTTP 500: away")
            ids = [values["id"] for _, _, values in rows]
            if self.refuses & set(ids):
                raise Refused("HTTP 400: field type conflict")
            self.rows += ids
            self.batches.append(len(ids))

    def conclude(self, rows: Sequence[Closed], state: str | None) -> str | None:
        with self.changed:
            self.changed.notify_all()
            if self.concluding_fails:
                self.concluding_fails -= 1
                raise Unavailable("metrics: no answer")
            self.states.append(state)
            return str(len(rows) + (0 if state is None else int(state)))

    def dropped(self) -> Sequence[Dropped]:
        drops, self.drops = self.drops, []
        return drops

    def shown(self, row: Closed) -> str:
        return f"llm_request id={row[2]['id']}"

    def close(self) -> None:
        self.closed = True

    def wait(self, condition: Callable[[], bool]) -> None:
        """Wait until `condition` holds; it is asked whenever rows come, and a little later."""
        deadline = time.monotonic() + WITHIN
        with self.changed:
            while not condition():
                assert time.monotonic() < deadline, "the condition did not come to hold"
                self.changed.wait(0.01)


class Books:
    """A ledger of closed rows, and sinks that read it."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "ledger.db"
        self.connection = open_for_writing(self.path)
        self.connection.execute("PRAGMA synchronous = OFF")
        self.letters = folder / "dead.jsonl"
        self.lines: list[tuple[str, str, dict[str, str]]] = []
        self.writable = True
        self._turn = threading.Lock()
        self._seeds = iter(range(1000))

    def add(self, rows: int) -> list[str]:
        made = list(exchanges(rows, seed=next(self._seeds)))
        with self._turn:
            add(self.connection, iter(made))
        return [record.id for record in made]

    def maintain(self, name: str, run: Callable[[sqlite3.Connection], None], done: Any) -> None:
        if not self.writable:
            return  # killed before it was written
        with self._turn:
            self.connection.execute("BEGIN IMMEDIATE")
            run(self.connection)
            self.connection.execute("COMMIT")

    @contextmanager
    def exporting(self, destination: FakeDestination, **more: Any) -> Iterator[CursorSink]:
        source = ExportSource(self.path, "test", ("id",), self.maintain)
        sink = CursorSink(
            "test",
            source,
            destination,
            DeadLetters(self.letters),
            lambda level, event, fields: self.lines.append((level, event, dict(fields))),
            **{"flush_seconds": 0.01, "retry_seconds": 0.01, "batch": 50, **more},
        )
        sink.start()
        try:
            yield sink
        finally:
            assert sink.stop(WITHIN)

    def dead(self) -> list[dict[str, Any]]:
        if not self.letters.exists():
            return []
        return [json.loads(line) for line in self.letters.read_text().splitlines()]


@pytest.fixture
def books(tmp_path: Path) -> Iterator[Books]:
    it = Books(tmp_path)
    with closing(it.connection):
        yield it


def test_rows_arrive_once_in_batches_also_those_that_close_meanwhile(books: Books) -> None:
    ids, to = books.add(120), FakeDestination()
    with books.exporting(to) as sink:
        to.wait(lambda: len(to.rows) == 120)
        ids += books.add(30)
        to.wait(lambda: len(to.rows) == 150)
    assert to.rows == ids
    assert to.batches[:2] == [50, 50]
    assert max(to.batches) <= 50
    assert (sink.state.delivered, sink.state.behind, sink.state.failures) == (150, 0, 0)


def test_a_batch_that_is_not_full_waits_and_a_stop_sends_it(books: Books) -> None:
    ids, to = books.add(60), FakeDestination()
    with books.exporting(to, flush_seconds=3600.0):
        to.wait(lambda: len(to.rows) == 50)
    assert to.rows == ids
    assert to.batches == [50, 10]


def test_an_outage_loses_nothing_and_is_told_once(books: Books) -> None:
    ids, to = books.add(120), FakeDestination(fails=5)
    with books.exporting(to) as sink:
        to.wait(lambda: len(to.rows) == 120)
    assert to.rows == ids
    assert sink.state.failures == 5
    told = [event for _, event, _ in books.lines]
    assert told == ["export_waits", "export_goes_on"]
    assert books.lines[0][2] == {"sink": "test", "reason": "HTTP 500: away"}


def test_what_retention_took_before_the_first_look_is_not_waited_for(books: Books) -> None:
    books.add(120)
    books.connection.execute("DELETE FROM closings WHERE seq <= 90")
    to = FakeDestination(fails=10**6)
    with books.exporting(to) as sink:
        to.wait(lambda: sink.state.failures > 1)
        assert sink.state.behind == 30


def test_rows_that_close_while_a_conclusion_fails_are_told_of(books: Books) -> None:
    books.add(40)
    to = FakeDestination()
    to.concluding_fails = 10**6
    with books.exporting(to) as sink:
        to.wait(lambda: sink.state.failures > 1)
        books.add(25)
        to.wait(lambda: sink.state.behind == 65)


def test_a_restart_goes_on_behind_the_last_row_that_was_delivered(books: Books) -> None:
    ids, first, second = books.add(70), FakeDestination(), FakeDestination()
    with books.exporting(first):
        first.wait(lambda: len(first.rows) == 70)
    ids += books.add(20)
    with books.exporting(second):
        second.wait(lambda: len(second.rows) == 20)
    assert first.rows + second.rows == ids
    assert second.states[0] == "70", "the state came with the place"


def test_what_was_sent_before_a_kill_is_sent_again_from_the_same_place_and_state(
    books: Books,
) -> None:
    ids, first, second = books.add(70), FakeDestination(), FakeDestination()
    books.writable = False
    with books.exporting(first):
        first.wait(lambda: len(first.rows) == 70)
    books.writable = True
    with books.exporting(second):
        second.wait(lambda: len(second.rows) == 70)
    assert first.rows == second.rows == ids
    assert first.states == second.states


def test_a_conclusion_that_fails_is_repeated_without_its_rows(books: Books) -> None:
    ids, to = books.add(40), FakeDestination()
    to.concluding_fails = 3
    with books.exporting(to):
        to.wait(lambda: to.states == [None])
    assert to.rows == ids


def test_a_refused_row_goes_to_the_dead_letters_and_the_rest_goes_on(books: Books) -> None:
    ids = books.add(130)
    bad = [ids[0], ids[17], ids[18], ids[129]]
    to = FakeDestination(refuses=bad)
    with books.exporting(to) as sink:
        to.wait(lambda: len(to.rows) == 126)
    assert sorted(to.rows) == sorted(set(ids) - set(bad))
    assert [letter["id"] for letter in books.dead()] == bad
    assert books.dead()[0]["reason"] == "HTTP 400: field type conflict"
    assert books.dead()[0]["point"] == f"llm_request id={ids[0]}"
    assert books.letters.stat().st_mode & 0o777 == 0o600
    assert (sink.state.dead, sink.state.delivered) == (4, 126)
    assert [fields["id"] for _, event, fields in books.lines if event == "export_refused"] == bad


def test_a_dead_letter_is_written_once_however_often_its_row_is_sent(books: Books) -> None:
    ids = books.add(20)
    books.writable = False
    for _ in range(2):
        to = FakeDestination(refuses=[ids[3]])
        with books.exporting(to):
            to.wait(lambda: len(to.rows) == 19)  # noqa: B023
    assert [letter["id"] for letter in books.dead()] == [ids[3]]


def test_a_letter_that_a_crash_has_cut_spoils_no_other(books: Books) -> None:
    books.letters.write_text('{"seq": 1, "id": "a"}\n{"seq": 2, "i')
    DeadLetters(books.letters).add(3, "c", "why", "point")
    assert books.letters.read_text().splitlines()[-1].startswith('{"seq": 3, "id": "c"')


def test_a_ledger_that_began_anew_has_its_letters_written_beside_the_old_ones(books: Books) -> None:
    books.letters.write_text(
        '{"seq": 5000, "id": "of-the-ledger-before", "reason": "", "point": ""}\n'
    )
    ids = books.add(20)
    to = FakeDestination(refuses=[ids[3]])
    with books.exporting(to):
        to.wait(lambda: len(to.rows) == 19)
    assert [letter["id"] for letter in books.dead()] == ["of-the-ledger-before", ids[3]]


def test_who_takes_no_row_at_all_is_waited_for_and_nothing_is_given_up(books: Books) -> None:
    ids = books.add(20)
    to = FakeDestination(refuses=ids)
    with books.exporting(to) as sink:
        to.wait(lambda: sink.state.failures > 1)
        assert sink.state.reason == "takes no row at all: HTTP 400: field type conflict"
        assert not books.letters.exists()
        to.refuses.clear()
        to.wait(lambda: len(to.rows) == 20)
    assert to.rows == ids


def test_a_destination_with_a_fault_of_ours_stops_nobody_and_is_told(books: Books) -> None:
    class Broken(FakeDestination):
        def send(self, rows: Sequence[Closed]) -> None:
            if self.fails:
                self.fails -= 1
                raise KeyError("ttft_ms")
            super().send(rows)

    ids, to = books.add(10), Broken(fails=2)
    with books.exporting(to):
        to.wait(lambda: len(to.rows) == 10)
    assert to.rows == ids
    assert books.lines[0][2]["reason"] == "KeyError: 'ttft_ms'"


def test_a_stop_cuts_a_destination_that_hangs(books: Books) -> None:
    class Hanging(FakeDestination):
        def __init__(self) -> None:
            super().__init__()
            self.sending, self.cut = threading.Event(), threading.Event()

        def send(self, rows: Sequence[Closed]) -> None:
            self.sending.set()
            assert self.cut.wait(WITHIN)
            raise Unavailable("cut")

        def close(self) -> None:
            self.cut.set()

    books.add(10)
    to = Hanging()
    source = ExportSource(books.path, "test", ("id",), books.maintain)
    sink = CursorSink("test", source, to, DeadLetters(books.letters), lambda *_: None, batch=5)
    sink.start()
    assert to.sending.wait(WITHIN)
    assert sink.stop(0.05)
