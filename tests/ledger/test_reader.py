"""Reading while a gateway writes, without one, and without the right to write."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from streamgauge.ledger.base import LedgerCorrupt, LedgerForeign, LedgerMissing, LedgerOpenError
from streamgauge.ledger.reader import Filter, LedgerReader, newest_start
from streamgauge.ledger.rows import ATTEMPTS, REQUESTS
from streamgauge.ledger.schema import open_for_writing
from streamgauge.ledger.sqlite import SqliteLedger

from .ledger_rig import NOW, Owner, a_record, an_attempt, closed


def ids(reader: LedgerReader, limit: int | None = None, **wanted: object) -> list[str]:
    return [row["id"] for row in reader.newest(Filter(**wanted), limit)]  # type: ignore[arg-type]


@pytest.fixture
def written(ledger: SqliteLedger, owner: Owner) -> SqliteLedger:
    models = ("gemma", "llama[q4]", "gpt-5")
    for i, model in enumerate(models):
        record = a_record(f"id-{i}-xyz", started_at=NOW + i, requested_model=model)
        record.session_id = f"s{i % 2}"
        ledger.begin(record, an_attempt(record.id), owner.done(f"b{i}"))
        if i:
            record.price = json.dumps({"currency": "EUR", "input": "0.1"})
            closed(record, streaming=True, anomalies=["second_marker"], response_model="served")
            ledger.close(record, [an_attempt(record.id), an_attempt(record.id, 2)],
                         owner.done(f"c{i}"))  # fmt: skip
    owner.wait("b0", "c1", "c2")
    return ledger


def test_rows_have_the_contracts_names_and_types(written: SqliteLedger, path: Path) -> None:
    with LedgerReader(path) as reader:
        newest, _, oldest = reader.newest(Filter())
    assert tuple(newest) == REQUESTS.names
    assert (newest["streaming"], newest["success"]) == (True, True)
    assert newest["anomalies"] == ["second_marker"]
    assert newest["price"] == {"currency": "EUR", "input": "0.1"}
    assert (oldest["success"], oldest["anomalies"], oldest["price"]) == (None, [], None)
    assert oldest["input_tokens"] is None


def test_when_the_newest_row_began(written: SqliteLedger, path: Path, tmp_path: Path) -> None:
    assert newest_start(path) == NOW + 2
    with closing(open_for_writing(tmp_path / "empty.db")):
        assert newest_start(tmp_path / "empty.db") is None


def test_filters(written: SqliteLedger, path: Path) -> None:
    with LedgerReader(path) as reader:
        assert ids(reader) == ["id-2-xyz", "id-1-xyz", "id-0-xyz"]
        assert ids(reader, 2) == ["id-2-xyz", "id-1-xyz"]
        assert len(ids(reader, 10**30)) == 3, "more than SQLite can count"
        assert ids(reader, since=NOW + 1) == ["id-2-xyz", "id-1-xyz"]
        assert ids(reader, statuses=["in_flight", "shutdown"]) == ["id-0-xyz"]
        assert ids(reader, model="g*") == ["id-2-xyz", "id-0-xyz"]
        assert ids(reader, model="llama[q4]") == ["id-1-xyz"]
        assert ids(reader, model="gpt-[45]") == ["id-2-xyz"], "as in settings"
        assert ids(reader, model="[!g]lama*") == ["id-1-xyz"]
        assert ids(reader, model="[!l]lama*") == []
        assert ids(reader, model="served", session="s0") == ["id-2-xyz"]
        assert ids(reader, model="none") == []
        assert ids(reader, model="\udcff*") == [], "a byte of the command line that is no UTF-8"


def test_an_exchange_with_its_attempts(written: SqliteLedger, path: Path) -> None:
    with LedgerReader(path) as reader:
        found = reader.exchange("id-2-xyz")
        assert found is not None
        request, attempts = found
        assert request["id"] == "id-2-xyz"
        assert [tuple(attempt) for attempt in attempts] == [ATTEMPTS.names] * 2
        assert [attempt["n"] for attempt in attempts] == [1, 2]
        assert reader.exchange("id-2") is None


def test_a_read_that_fails_leaves_the_next_one_possible(written: SqliteLedger, path: Path) -> None:
    with LedgerReader(path) as reader:
        for step in range(1, 60):
            left = iter([0] * step + [1])
            reader._connection.set_progress_handler(lambda left=left: next(left, 0), 1)  # type: ignore[misc]
            try:
                reader.exchange("id-1-xyz")
            except LedgerOpenError:
                pass
            else:
                assert step > 20, "the read was interrupted here and there before"
            reader._connection.set_progress_handler(None, 0)
            assert reader.exchange("id-1-xyz") is not None


def test_ids_by_their_beginning(written: SqliteLedger, path: Path) -> None:
    with LedgerReader(path) as reader:
        assert reader.ids_like("id-1", 5) == ["id-1-xyz"]
        assert reader.ids_like("id-", 2) == ["id-0-xyz", "id-1-xyz"]
        assert reader.ids_like("id_", 5) == []
        assert reader.ids_like("%", 5) == []
        assert reader.ids_like("\udcff", 5) == reader.ids_of_client_request("\udcff", 5) == []
        assert reader.exchange("\udcff") is None


def test_readers_see_each_commit_while_the_writer_works(
    ledger: SqliteLedger, owner: Owner, path: Path
) -> None:
    with LedgerReader(path) as reader, LedgerReader(path) as slow:
        ledger.begin(a_record("first"), an_attempt("first"), owner.done("first"))
        owner.wait("first")
        half_read = slow.newest(Filter())
        assert next(half_read)["id"] == "first"
        for i in range(200):
            ledger.begin(a_record(f"r{i}"), an_attempt(f"r{i}"), owner.done(f"r{i}"))
            owner.wait(f"r{i}")
            assert reader.exchange(f"r{i}") is not None
        assert list(half_read) == []
        assert len(ids(slow)) == 201
    assert ledger.healthy


def test_a_reader_cannot_write(written: SqliteLedger, path: Path) -> None:
    with LedgerReader(path) as reader, pytest.raises(sqlite3.OperationalError, match="readonly"):
        reader._connection.execute("DELETE FROM requests")


def test_a_stopped_ledger_is_read_and_stays_one_file(
    written: SqliteLedger, path: Path, tmp_path: Path
) -> None:
    written.stop(5)
    with LedgerReader(path) as reader:
        assert len(ids(reader)) == 3


def test_there_is_none(path: Path) -> None:
    with pytest.raises(LedgerMissing, match="no ledger at"):
        LedgerReader(path)
    assert not path.exists()


def test_no_database_and_no_ledger(path: Path) -> None:
    path.write_bytes(b"something else" * 1000)
    with pytest.raises(LedgerCorrupt):
        LedgerReader(path)
    path.write_bytes(b"")
    with pytest.raises(LedgerForeign):
        LedgerReader(path)


def test_an_older_ledger_lacks_columns_and_a_spoilt_price_is_shown(
    opened: Callable[..., SqliteLedger], written: SqliteLedger, path: Path
) -> None:
    written.stop(5)
    with closing(sqlite3.connect(path, isolation_level=None)) as hand:
        hand.execute("ALTER TABLE requests DROP COLUMN gap_max_ms")
        hand.execute("UPDATE requests SET price = 'cheap' WHERE id = 'id-0-xyz'")
    with LedgerReader(path) as reader:
        rows = list(reader.newest(Filter()))
    assert [row["gap_max_ms"] for row in rows] == [None] * 3
    assert rows[-1]["price"] == "cheap"
