"""The tables are the records: same names, same order, fitting types (SPEC §8.3)."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import fields
from importlib.resources import files
from pathlib import Path

import pytest

from streamgauge.core.record import AttemptRecord, ExchangeRecord
from streamgauge.ledger.rows import ATTEMPTS, REQUESTS, Kind, RowShape
from streamgauge.ledger.schema import APPLICATION_ID, LATEST, open_for_writing
from streamgauge.ledger.sqlite import SqliteLedger

from .ledger_rig import rows_in

SQL_TYPES = {
    Kind.TEXT: "TEXT",
    Kind.NAMES: "TEXT",
    Kind.INTEGER: "INTEGER",
    Kind.FLAG: "INTEGER",
    Kind.REAL: "REAL",
}
TABLES = [("requests", ExchangeRecord, REQUESTS), ("attempts", AttemptRecord, ATTEMPTS)]


@pytest.mark.parametrize(("table", "record", "shape"), TABLES)
def test_columns_equal_the_fields_in_name_order_and_type(
    path: Path,
    ledger: SqliteLedger,
    table: str,
    record: type[ExchangeRecord] | type[AttemptRecord],
    shape: RowShape,
) -> None:
    columns = rows_in(path, f"PRAGMA table_info({table})")
    assert [column[1] for column in columns] == [field.name for field in fields(record)]
    assert [(c[1], c[2]) for c in columns] == [(n, SQL_TYPES[k]) for n, k in shape.columns()]


@pytest.mark.parametrize(("table", "record", "shape"), TABLES)
def test_no_column_has_a_default_and_only_facts_of_the_begin_are_required(
    path: Path,
    ledger: SqliteLedger,
    table: str,
    record: type[ExchangeRecord] | type[AttemptRecord],
    shape: RowShape,
) -> None:
    columns = rows_in(path, f"PRAGMA table_info({table})")
    assert [column[4] for column in columns if column[4] is not None] == []
    required = {column[1] for column in columns if column[3]}
    known = {
        "requests": {"id", "owner", "started_at", "status", "anomalies"},
        "attempts": {"request_id", "n", "upstream", "dialect"},
    }
    assert required == known[table]


def test_every_table_is_strict(path: Path, ledger: SqliteLedger) -> None:
    tables = rows_in(path, "PRAGMA table_list")
    strict = {row[1]: row[5] for row in tables if not row[1].startswith("sqlite_")}
    assert {"requests", "attempts", "closings", "rollup_usage", "rollup_times"} <= strict.keys()
    assert set(strict.values()) == {1}


def test_the_file_says_whose_it_is_and_which_schema_it_has(
    path: Path, ledger: SqliteLedger
) -> None:
    assert rows_in(path, "PRAGMA application_id") == [(APPLICATION_ID,)]
    assert rows_in(path, "PRAGMA user_version") == [(LATEST,)]


def test_the_newest_schema_is_the_newest_migration() -> None:
    folder = files("streamgauge.ledger").joinpath("migrations")
    numbers = sorted(int(entry.name.split("_")[0]) for entry in folder.iterdir())
    assert numbers == list(range(1, LATEST + 1))


def test_commits_are_durable_and_readers_do_not_wait(path: Path) -> None:
    connection = open_for_writing(path)
    try:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
    finally:
        connection.close()


def test_opening_twice_migrates_once(opened: Callable[..., SqliteLedger], path: Path) -> None:
    opened().stop(5)
    before = rows_in(path, "PRAGMA schema_version")
    opened().stop(5)
    assert rows_in(path, "PRAGMA schema_version") == before


def test_a_migration_that_was_cut_off_leaves_nothing(path: Path) -> None:
    first = sqlite3.connect(path, isolation_level=None)
    first.execute("PRAGMA journal_mode = WAL")
    first.executescript("BEGIN IMMEDIATE; CREATE TABLE requests (id TEXT);")
    first.close()
    open_for_writing(path).close()
    assert len(rows_in(path, "PRAGMA table_info(requests)")) == len(REQUESTS.names)
