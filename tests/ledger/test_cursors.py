"""Closed rows in the order of their closing, and the place of each exporter (SPEC §16.1, I9)."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from streamgauge.core.record import ExchangeRecord
from streamgauge.ledger.base import LedgerUnavailable
from streamgauge.ledger.cursors import ClosedRows, CursorKeeper, serve_cursors
from streamgauge.ledger.recovery import close_left_open
from streamgauge.ledger.retention import delete_older
from streamgauge.ledger.rollup_sql import DAY_US
from streamgauge.ledger.schema import open_for_writing

from .made_ledger import START, add, exchanges, one
from .rollup_rig import roll_up, transaction

FAR = START + 900 * DAY_US


@pytest.fixture
def books(path: Path) -> Iterator[sqlite3.Connection]:
    """Return 300 closed rows, and one in flight."""
    with closing(open_for_writing(path)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        add(connection, exchanges(300, days=6))
        add(connection, iter([ExchangeRecord(id="open", owner="boot-1", started_at=START)]))
        yield connection


def all_rows(path: Path, batch: int) -> list[tuple[int, int, Any]]:
    """Read everything in batches, as an exporter does."""
    found: list[tuple[int, int, Any]] = []
    with closing(ClosedRows(path, ["id", "finished_at"])) as rows:
        _, upto = rows.ends()
        while some := rows.after(found[-1][0] if found else 0, upto, batch):
            found += some
    return found


@pytest.mark.parametrize("batch", [1, 7, 300, 1000])
def test_every_closed_row_comes_once_in_the_order_of_closing(
    books: sqlite3.Connection, path: Path, batch: int
) -> None:
    found = all_rows(path, batch)
    assert len(found) == 300
    assert [seq for seq, _, _ in found] == sorted(seq for seq, _, _ in found)
    assert len({values["id"] for _, _, values in found}) == 300
    assert "open" not in {values["id"] for _, _, values in found}


def test_the_ends_are_those_of_the_rows_that_are_there(
    books: sqlite3.Connection, path: Path
) -> None:
    roll_up(books)
    with closing(ClosedRows(path, ["id"])) as rows:
        told = [rows.ends()]
        for days in (3, 900):
            with transaction(books):
                while delete_older(books, START + days * DAY_US):
                    pass
            told.append(rows.ends())
    assert told[0] == (1, 300)
    assert 1 < told[1][0] < told[1][1] == 300
    assert told[2] == (1, 0)


def test_times_are_those_of_the_rows_and_no_two_are_equal(
    books: sqlite3.Connection, path: Path
) -> None:
    (model,) = exchanges(1, seed=9)
    twins = [replace(model, id=f"twin-{n:04d}") for n in range(50)]
    add(books, iter(twins))
    add(books, (ExchangeRecord(id=f"left-{n}", owner="b", started_at=START) for n in range(1500)))
    close_left_open(books, FAR)
    found = all_rows(path, 500)
    assert len(found) == 300 + 50 + 1500 + 1
    assert len({time_ns for _, time_ns, _ in found}) == len(found)
    late = [time_ns - values["finished_at"] * 1000 for _, time_ns, values in found]
    assert all(0 <= each <= 1500 for each in late)
    assert late.count(0) > 300 - 5
    assert [row[1] for row in all_rows(path, 13)] == [row[1] for row in found], "whenever asked"


def test_a_place_is_kept_and_never_goes_back(books: sqlite3.Connection, path: Path) -> None:
    asked: list[tuple[Any, Any]] = []
    keeper = CursorKeeper("influxdb x", lambda name, run, done: asked.append((run, done)))
    keeper.keep(5, "five")
    keeper.keep(7, "seven")
    assert len(asked) == 1, "the newest is enough"
    run, done = asked.pop()
    with transaction(books):
        run(books)
    done(None)
    with closing(ClosedRows(path, ["id"])) as rows:
        assert rows.cursor("influxdb x") == (7, "seven")
        assert rows.cursor("otlp y") == (0, None)
        keeper.keep(6, "six")
        with transaction(books):
            asked.pop()[0](books)
        assert rows.cursor("influxdb x") == (7, "seven")


def test_after_a_write_that_failed_the_next_place_is_written(books: sqlite3.Connection) -> None:
    asked: list[Any] = []
    keeper = CursorKeeper("s", lambda name, run, done: asked.append(done))
    keeper.keep(1, None)
    keeper.keep(2, None)
    asked[0](LedgerUnavailable("disk full"))
    keeper.keep(3, None)
    assert len(asked) == 2


def test_retention_waits_for_exporters_that_are_configured_and_for_no_other(
    books: sqlite3.Connection, path: Path
) -> None:
    roll_up(books)
    seqs = [seq for seq, _, _ in all_rows(path, 1000)]
    with transaction(books):
        serve_cursors(books, ["a", "b"])
        books.execute("UPDATE export_cursors SET seq = ? WHERE sink = 'a'", (seqs[-1],))
        books.execute("UPDATE export_cursors SET seq = ? WHERE sink = 'b'", (seqs[99],))
        delete_older(books, FAR, 1000)
    assert one(books, "SELECT count(*) FROM closings") == 200
    with transaction(books):
        serve_cursors(books, ["a"])
        delete_older(books, FAR, 1000)
    assert one(books, "SELECT count(*) FROM closings") == 0
    assert one(books, "SELECT seq FROM export_cursors WHERE sink = 'b'") == seqs[99]


def test_a_column_that_there_is_not_is_refused(books: sqlite3.Connection, path: Path) -> None:
    with pytest.raises(ValueError, match="no columns of requests: prompt"):
        ClosedRows(path, ["id", "prompt"])


def test_retention_leaves_the_time_of_a_row_that_is_still_to_be_sent_as_it_was(
    books: sqlite3.Connection, path: Path
) -> None:
    add(books, (ExchangeRecord(id=f"left-{n}", owner="b", started_at=START) for n in range(9)))
    close_left_open(books, START)
    roll_up(books)
    before = all_rows(path, 500)
    sent = before[-4][0]  # an outage began in the middle of what a crash had left open
    with transaction(books):
        serve_cursors(books, ["a"])
        books.execute("UPDATE export_cursors SET seq = ?", (sent,))
        while delete_older(books, FAR):
            pass
    after = all_rows(path, 500)
    assert len(after) < len(before)
    assert [row for row in after if row[0] > sent] == [row for row in before if row[0] > sent]
