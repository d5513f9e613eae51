"""Rows go by age, a few at a time; what is open and what was added up stays (SPEC §8.4)."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from streamgauge.core.record import ExchangeRecord
from streamgauge.ledger import rollup
from streamgauge.ledger.retention import cutoff_us, delete_older
from streamgauge.ledger.rollup_sql import DAY_US
from streamgauge.ledger.schema import open_for_writing

from .made_ledger import START, add, exchanges, one
from .rollup_rig import found_differences, roll_up, transaction

DAY = START // DAY_US * DAY_US


@pytest.fixture
def books(path: Path) -> Iterator[sqlite3.Connection]:
    """Return 300 closed rows of six days, and one in flight since the first."""
    with closing(open_for_writing(path)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        add(connection, exchanges(300, days=6))
        add(connection, iter([ExchangeRecord(id="open", owner="boot-1", started_at=START)]))
        yield connection


def delete_all(connection: sqlite3.Connection, cutoff: int) -> int:
    calls, more = 0, True
    while more:
        with transaction(connection):
            more = delete_older(connection, cutoff, 50)
        calls += 1
    return calls


def test_what_finished_before_the_cutoff_goes_with_its_attempts(books: sqlite3.Connection) -> None:
    roll_up(books)
    before = rollup.usage(books, by=["day", "model", "status"])
    times = rollup.times(books, "ttft_ms", by=["upstream"])
    cutoff = cutoff_us(START + 5 * DAY_US, days=2)
    assert cutoff == DAY + 3 * DAY_US
    old = one(books, f"SELECT count(*) FROM requests WHERE finished_at < {cutoff}")
    assert old > 100
    assert delete_all(books, cutoff) == old // 50 + 1
    assert one(books, "SELECT min(finished_at) FROM requests") >= cutoff
    for table in ("requests", "attempts"):
        assert one(books, f"SELECT count(*) FROM {table}") == 301 - old
    assert one(books, "SELECT count(*) FROM closings") == 300 - old
    assert rollup.usage(books, by=["day", "model", "status"]) == before
    assert rollup.times(books, "ttft_ms", by=["upstream"]) == times
    assert found_differences(books) == []


def test_rows_in_flight_are_never_deleted(books: sqlite3.Connection) -> None:
    roll_up(books)
    delete_all(books, DAY + 1000 * DAY_US)
    assert books.execute("SELECT id, status FROM requests").fetchall() == [("open", "in_flight")]
    assert one(books, "SELECT request_id FROM attempts") == "open"


def test_what_is_not_added_up_yet_is_not_deleted(books: sqlite3.Connection) -> None:
    assert delete_all(books, DAY + 1000 * DAY_US) == 1
    assert one(books, "SELECT count(*) FROM requests") == 301


def test_one_call_deletes_no_more_than_it_is_told(books: sqlite3.Connection) -> None:
    roll_up(books)
    with transaction(books):
        assert delete_older(books, DAY + 1000 * DAY_US, 7)
    assert one(books, "SELECT count(*) FROM requests") == 301 - 7


def test_the_newest_closing_is_not_numbered_anew_when_all_have_gone(
    books: sqlite3.Connection,
) -> None:
    roll_up(books)
    delete_all(books, DAY + 1000 * DAY_US)
    add(books, exchanges(10, seed=9))
    assert one(books, "SELECT min(seq) FROM closings") == 301
    (told,) = rollup.usage(books)
    assert told.exchanges == 310


def test_age_is_counted_in_whole_days() -> None:
    assert cutoff_us(DAY + DAY_US - 1, days=1) == DAY - DAY_US
    assert cutoff_us(DAY + DAY_US, days=1) == DAY
