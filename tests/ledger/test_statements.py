"""Rows written together, without what they do not know, are what they are one by one and whole."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from streamgauge.core.record import ExchangeRecord, Status
from streamgauge.ledger.operations import AddAttempt, Begin, Close, Insert
from streamgauge.ledger.rows import ATTEMPTS, REQUESTS, Row
from streamgauge.ledger.schema import open_for_writing
from streamgauge.ledger.statements import RowStatement
from streamgauge.ledger.store import SqliteStore

from .ledger_rig import a_record, an_attempt, closed

UNTOUCHED = ("id", "owner", "started_at", "status", "delivered", "disposition")
OPTIONAL = [
    name
    for name, kind in REQUESTS.columns()
    if kind.name in ("TEXT", "INTEGER", "REAL") and name not in UNTOUCHED
]


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(open_for_writing(tmp_path / "ledger.db")) as connection:
        yield connection


def told(_error: object) -> None:
    """Nobody asks."""


def a_row(dice: random.Random, id: str, known: int) -> Row:
    record = closed(a_record(id))
    for name in dice.sample(OPTIONAL, known):
        setattr(record, name, dice.randrange(9))
    return REQUESTS.row(record)


def stored(connection: sqlite3.Connection) -> list[tuple[Any, ...]]:
    return connection.execute("SELECT * FROM requests ORDER BY rowid").fetchall()


@pytest.mark.parametrize("count", [1, 2, 3, 7, 8, 9, 15, 16, 17, 100])
def test_rows_come_as_a_whole_insert_of_each_would_bring_them(
    connection: sqlite3.Connection, count: int
) -> None:
    dice = random.Random(count)
    rows = [a_row(dice, f"r{i}", dice.randrange(4)) for i in range(count)]
    assert RowStatement("requests", REQUESTS).write(connection, rows) == count
    found = stored(connection)
    connection.execute("DELETE FROM requests")
    for row in rows:
        connection.execute(f"INSERT INTO requests VALUES ({', '.join('?' * len(row))})", row)
    assert found == stored(connection)


def traced(connection: sqlite3.Connection, statement: RowStatement, rows: list[Row]) -> list[str]:
    """Write `rows`; return the statements that ran, triggers' left out."""
    seen: list[str] = []
    connection.set_trace_callback(seen.append)
    assert statement.write(connection, rows) == len(rows)
    connection.set_trace_callback(None)
    return seen


def test_alike_rows_take_few_statements_and_bind_only_what_is_known(
    connection: sqlite3.Connection,
) -> None:
    rows = [ATTEMPTS.row(an_attempt(f"r{i}")) for i in range(13)]
    seen = traced(connection, RowStatement("attempts", ATTEMPTS), rows)
    assert len(seen) == 3  # 8, 4 and 1
    assert not any("NULL" in statement or "outcome" in statement for statement in seen)


def test_more_kinds_of_rows_than_have_statements_of_their_own_are_written_whole(
    connection: sqlite3.Connection,
) -> None:
    dice = random.Random(1)
    rows = [a_row(dice, f"r{i}", 5) for i in range(300)]
    seen = traced(connection, RowStatement("requests", REQUESTS), rows)
    assert all(name in seen[-1] for name in REQUESTS.names)
    assert [row[0] for row in stored(connection)] == [row[0] for row in rows]


def test_a_row_that_knows_nothing_is_refused_and_not_passed_over(
    connection: sqlite3.Connection,
) -> None:
    with pytest.raises(sqlite3.IntegrityError):
        RowStatement("requests", REQUESTS).write(connection, [(None,) * len(REQUESTS.names)])


def begin(record: ExchangeRecord) -> Begin:
    return Begin(REQUESTS.row(record), ATTEMPTS.row(an_attempt(record.id)), told)


def close(record: ExchangeRecord, **values: Any) -> Close:
    attempt = an_attempt(record.id, **values)
    return Close(REQUESTS.row(closed(record)), (ATTEMPTS.row(attempt),), told)


@pytest.fixture
def store(connection: sqlite3.Connection, tmp_path: Path) -> SqliteStore:
    return SqliteStore(connection, tmp_path / "ledger.db", busy_ms=100)


def test_a_close_leaves_nothing_of_what_only_its_begin_knew(
    store: SqliteStore, connection: sqlite3.Connection
) -> None:
    store.commit([begin(a_record("r", upstream="alpha", latency_ms=1.5))], patient=True)
    store.commit([close(a_record("r", upstream="beta"))], patient=True)
    query = "SELECT upstream, latency_ms, status FROM requests"
    assert connection.execute(query).fetchall() == [("beta", None, "completed")]


@pytest.mark.parametrize("together", [False, True])
def test_the_rejection_of_a_call_that_never_was_takes_its_late_begin_s_attempt_along(
    together: bool, store: SqliteStore, connection: sqlite3.Connection
) -> None:
    rejected = closed(a_record("r"), status=Status.REJECTED, success=False)
    said = [begin(a_record("r")), Close(REQUESTS.row(rejected), (), told, rejected=True)]
    kept = [begin(a_record("k")), Close(REQUESTS.row(closed(a_record("k"))), (), told)]
    for group in [said + kept] if together else [[each] for each in said + kept]:
        store.commit(group, patient=True)
    rows = connection.execute("SELECT id, status FROM requests ORDER BY id").fetchall()
    assert rows == [("k", "completed"), ("r", "rejected")]
    assert connection.execute("SELECT request_id FROM attempts").fetchall() == [("k",)]


def test_one_group_holds_all_that_happened_to_an_exchange(
    store: SqliteStore, connection: sqlite3.Connection
) -> None:
    over = ATTEMPTS.row(an_attempt("a", outcome="upstream_error"))
    second = AddAttempt(ATTEMPTS.row(an_attempt("a", 2)), told, over)
    rejected = Insert(REQUESTS.row(closed(a_record("c"))), told)
    group = [begin(a_record("a")), second, close(a_record("a")), begin(a_record("b")), rejected]
    committed = store.commit(group, patient=True)
    assert (committed.rows, committed.double_closes) == (9, 0)
    query = "SELECT id, status FROM requests ORDER BY id"
    assert connection.execute(query).fetchall() == [
        ("a", "completed"),
        ("b", "in_flight"),
        ("c", "completed"),
    ]
    assert connection.execute("SELECT count(*) FROM attempts").fetchone() == (3,)
    assert connection.execute("SELECT count(*) FROM closings").fetchone() == (2,)


def test_a_second_close_in_a_group_changes_nothing_and_harms_no_neighbour(
    store: SqliteStore, connection: sqlite3.Connection
) -> None:
    store.commit([begin(a_record("a")), begin(a_record("b"))], patient=True)
    again = close(a_record("a", error_code="late"), outcome="late")
    committed = store.commit([close(a_record("a")), again, close(a_record("b"))], patient=True)
    assert committed.double_closes == 1
    query = "SELECT id, status, error_code FROM requests ORDER BY id"
    assert connection.execute(query).fetchall() == [
        ("a", "completed", None),
        ("b", "completed", None),
    ]
    outcomes = connection.execute("SELECT outcome FROM attempts").fetchall()
    assert outcomes == [(None,), (None,)]
    assert connection.execute("SELECT count(*) FROM closings").fetchone() == (2,)
