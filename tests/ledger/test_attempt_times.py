"""Schema 5: attempts get three times; what an earlier release left, ledger or spool, has none of them."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from streamgauge.ledger.maintenance import back_up, migrate
from streamgauge.ledger.reader import LedgerReader
from streamgauge.ledger.rows import ATTEMPTS, REQUESTS
from streamgauge.ledger.schema import LATEST
from streamgauge.ledger.spool import SpoolFile, spool_path
from streamgauge.ledger.sqlite import SqliteLedger

from .ledger_rig import Owner, a_record, an_attempt, closed, rows_in

SCHEMA_4 = Path(__file__).parents[1] / "data" / "ledgers" / "schema_4.sql"
TIMES = ("connected_ms", "last_token_ms", "usage_ms")
BEFORE = tuple(name for name in ATTEMPTS.names if name not in TIMES)
SPOOL = 64 << 10
TWICE = "0004000000000002"


@pytest.fixture
def old(path: Path) -> Path:
    """Return a ledger as schema 4 left it: 8 exchanges, two of them in flight, 9 attempts."""
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(SCHEMA_4.read_text())
    return path


def contents(path: Path) -> list[Any]:
    """Return what schema 4 had columns for."""
    attempts = f"SELECT {', '.join(BEFORE)} FROM attempts ORDER BY request_id, n"
    return [rows_in(path, "SELECT * FROM requests ORDER BY id"), rows_in(path, attempts)]


def attempts_of(path: Path, id: str) -> list[dict[str, Any]]:
    """Return the attempts of an exchange, as everyone reads them."""
    with LedgerReader(path) as reader:
        found = reader.exchange(id)
    assert found is not None
    return found[1]


def test_the_old_ledger_is_one() -> None:
    names = [line.split()[0] for line in SCHEMA_4.read_text().split("CREATE TABLE attempts (\n")[1]
             .split("    PRIMARY KEY")[0].splitlines()]  # fmt: skip
    assert tuple(names) == BEFORE
    assert "PRAGMA user_version = 4;" in SCHEMA_4.read_text()


def test_a_ledger_of_schema_4_is_upgraded_with_its_rows_intact(old: Path, tmp_path: Path) -> None:
    before = contents(old)
    assert [len(rows) for rows in before] == [8, 9]
    done = migrate(old, progress=lambda done, total: None)
    assert (done.before, done.after) == (4, LATEST)
    assert contents(old) == before
    assert set(rows_in(old, f"SELECT {', '.join(TIMES)} FROM attempts")) == {(None,) * 3}
    assert rows_in(old, "PRAGMA integrity_check") == [("ok",)]
    copy = tmp_path / "copy.db"
    back_up(old, copy, replace=False, progress=lambda done, total: None)
    assert contents(copy) == before


def test_a_start_upgrades_it_and_new_rows_have_the_times(
    old: Path, opened: Callable[..., SqliteLedger], owner: Owner
) -> None:
    ledger = opened()
    assert ledger.recovered == 2
    record = closed(a_record("new"))
    times = {"connected_ms": 1.5, "last_token_ms": 90.25, "usage_ms": 91.0}
    ledger.begin(a_record("new"), an_attempt("new"), owner.done("begun"))
    ledger.close(record, [an_attempt("new", **times), an_attempt("new", 2)], owner.done("closed"))
    assert owner.wait("begun", "closed") == [None, None]
    one, two = attempts_of(old, "new")
    assert {name: one[name] for name in TIMES} == times
    assert {two[name] for name in TIMES} == {None}
    assert rows_in(old, "SELECT count(*) FROM attempts WHERE usage_ms IS NOT NULL") == [(1,)]


def test_a_ledger_that_is_not_upgraded_yet_is_read(old: Path) -> None:
    with LedgerReader(old) as reader:
        assert reader.schema == 4
    tries = attempts_of(old, TWICE)
    assert [tuple(each) for each in tries] == [ATTEMPTS.names] * 2
    assert {each[name] for each in tries for name in TIMES} == {None}
    assert [each["first_byte_ms"] for each in tries] == [None, 30.0]


def test_a_spool_of_schema_4_is_replayed_into_the_upgraded_ledger(
    old: Path, opened: Callable[..., SqliteLedger]
) -> None:
    left = dict(zip(ATTEMPTS.names, ATTEMPTS.row(an_attempt("kept")), strict=True))
    attempt = [left[name] for name in BEFORE]
    layout = ("layout", REQUESTS.names, BEFORE)
    begin = ("begin", REQUESTS.row(a_record("kept")), attempt)
    close = ("close", REQUESTS.row(closed(a_record("kept"))), [attempt], False)
    file = SpoolFile(spool_path(old))
    file.allocate(SPOOL)
    file.append([msgspec.msgpack.encode(record) for record in (layout, begin, close)])
    file.close()
    opened(spool_bytes=SPOOL).stop(5)
    (kept,) = attempts_of(old, "kept")
    assert {kept[name] for name in TIMES} == {None}
    assert kept["upstream"] == "sim"
    assert rows_in(old, "SELECT status FROM requests WHERE id = 'kept'") == [("completed",)]


def test_a_spool_gives_the_times_back(
    path: Path, opened: Callable[..., SqliteLedger], owner: Owner
) -> None:
    ledger = opened(spool_bytes=SPOOL)
    ledger.begin(a_record("one"), an_attempt("one"), owner.done("begun"))
    owner.wait("begun")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        served = an_attempt("one", connected_ms=1.5, last_token_ms=90.25, usage_ms=91.0)
        ledger.close(closed(a_record("one")), [served], owner.done("closed"))
        owner.wait("closed")
        assert ledger.stats().spooled == 1
        other.execute("COMMIT")
    ledger.stop(5)
    opened(spool_bytes=SPOOL).stop(5)
    (kept,) = attempts_of(path, "one")
    assert [kept[name] for name in TIMES] == [1.5, 90.25, 91.0]
