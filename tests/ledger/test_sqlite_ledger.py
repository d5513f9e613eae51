"""The SQLite ledger: one row an exchange, committed before it is told, closed once."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from streamgauge.core.record import Status
from streamgauge.ledger.base import LedgerUnavailable, RowRefused
from streamgauge.ledger.sqlite import SqliteLedger

from .ledger_rig import NOW, Owner, a_record, an_attempt, closed, rows_in

STATUSES = "SELECT id, status, success FROM requests ORDER BY rowid"


def test_a_begin_that_is_told_is_on_the_disk(
    ledger: SqliteLedger, owner: Owner, path: Path
) -> None:
    ledger.begin(a_record("one"), an_attempt("one"), owner.done("begun"))
    assert owner.wait("begun") == [None]
    assert rows_in(path, STATUSES) == [("one", "in_flight", None)]
    assert rows_in(path, "SELECT request_id, n, outcome FROM attempts") == [("one", 1, None)]


def test_a_close_writes_the_row_and_its_attempts(
    ledger: SqliteLedger, owner: Owner, path: Path
) -> None:
    record, first, second = a_record("one"), an_attempt("one"), an_attempt("one", 2)
    ledger.begin(record, first, owner.done("begun"))
    ledger.attempt(second, owner.done("second"))
    first.outcome, second.outcome, second.may_have_been_billed = "upstream_error", "completed", True
    ledger.close(closed(record, input_tokens=12), [first, second], owner.done("closed"))
    assert owner.wait("begun", "second", "closed") == [None, None, None]
    assert rows_in(path, "SELECT status, success, input_tokens, delivered FROM requests") == [
        ("completed", 1, 12, "all")
    ]
    assert rows_in(path, "SELECT n, outcome, may_have_been_billed FROM attempts") == [
        (1, "upstream_error", None),
        (2, "completed", 1),
    ]
    assert ledger.stats().double_closes == 0


def test_a_second_close_changes_nothing_and_is_counted(
    ledger: SqliteLedger, owner: Owner, path: Path
) -> None:
    record, attempt = a_record("one"), an_attempt("one")
    ledger.begin(record, attempt, owner.done("begun"))
    ledger.close(closed(record, output_tokens=7), [attempt], owner.done("first"))
    attempt.outcome = "changed"
    ledger.close(closed(record, output_tokens=8), [attempt], owner.done("second"))
    assert owner.wait("first", "second") == [None, None]
    assert rows_in(path, "SELECT output_tokens FROM requests") == [(7,)]
    assert rows_in(path, "SELECT outcome FROM attempts") == [(None,)]
    assert ledger.stats().double_closes == 1


def test_a_close_leaves_what_the_begin_wrote(
    ledger: SqliteLedger, owner: Owner, path: Path
) -> None:
    ledger.begin(a_record("one"), an_attempt("one"), owner.done("begun"))
    other = closed(a_record("one", owner="else", started_at=5))
    ledger.close(other, [], owner.done("closed"))
    owner.wait("closed")
    assert rows_in(path, "SELECT owner, started_at FROM requests") == [("boot-1", NOW)]


def test_a_close_without_its_begin_is_written_all_the_same(
    ledger: SqliteLedger, owner: Owner, path: Path
) -> None:
    ledger.close(closed(a_record("one")), [an_attempt("one")], owner.done("closed"))
    assert owner.wait("closed") == [None]
    assert rows_in(path, STATUSES) == [("one", "completed", 1)]
    assert rows_in(path, "SELECT count(*) FROM attempts") == [(1,)]


def test_a_rejected_request_is_one_insert(ledger: SqliteLedger, owner: Owner, path: Path) -> None:
    rejected = a_record("no", status=Status.REJECTED, success=False, finished_at=NOW)
    ledger.insert(rejected)
    ledger.insert(rejected, owner.done("again"))
    assert isinstance(owner.wait("again")[0], RowRefused)
    assert rows_in(path, STATUSES) == [("no", "rejected", 0)]


def test_what_queues_during_a_commit_is_one_commit(
    ledger: SqliteLedger, owner: Owner, path: Path
) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        for i in range(200):
            ledger.begin(a_record(f"r{i}"), an_attempt(f"r{i}"), owner.done(f"r{i}"))
        other.execute("COMMIT")
    owner.wait(*(f"r{i}" for i in range(200)))
    assert ledger.stats().commits <= 3
    assert len(owner.batches) == ledger.stats().commits
    assert ledger.stats().rows == 400


@pytest.mark.parametrize("count", [2**63, -(2**63) - 1, 1.5, "many"])
def test_a_bad_record_costs_only_itself(
    ledger: SqliteLedger, owner: Owner, path: Path, count: object
) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        for name, value in (("before", 1), ("bad", count), ("after", 2**63 - 1)):
            record = a_record(name, input_tokens=value)
            ledger.begin(record, an_attempt(name), owner.done(name))
        other.execute("COMMIT")
    before, bad, after = owner.wait("before", "bad", "after")
    assert isinstance(bad, RowRefused)
    assert (before, after) == (None, None)
    assert [row[0] for row in rows_in(path, STATUSES)] == ["before", "after"]
    assert rows_in(path, "SELECT request_id FROM attempts ORDER BY 1") == [("after",), ("before",)]
    assert ledger.stats().refused == 1
    assert ledger.stats().rows == 4
    assert ledger.healthy


def test_a_bad_attempt_takes_its_request_row_with_it(
    ledger: SqliteLedger, owner: Owner, path: Path
) -> None:
    ledger.begin(a_record("bad"), an_attempt("bad", input_tokens=2**63), owner.done("bad"))
    ledger.begin(a_record("good"), an_attempt("good"), owner.done("good"))
    bad, good = owner.wait("bad", "good")
    assert isinstance(bad, RowRefused)
    assert good is None
    assert rows_in(path, STATUSES) == [("good", "in_flight", None)]
    assert ledger.stats().rows == 2


def test_an_id_that_is_there_already_is_refused(
    ledger: SqliteLedger, owner: Owner, path: Path
) -> None:
    ledger.begin(a_record("one"), an_attempt("one"), owner.done("first"))
    ledger.begin(a_record("one"), an_attempt("one"), owner.done("second"))
    first, second = owner.wait("first", "second")
    assert first is None
    assert isinstance(second, RowRefused)


@pytest.mark.parametrize("text", ["a\0b", "a\ud800b", "a\udc00\ud800b", "\0"])
def test_text_that_no_database_takes_is_made_safe(
    ledger: SqliteLedger, owner: Owner, path: Path, text: str
) -> None:
    record = a_record("one", client_app=text, requested_model=text)
    ledger.begin(record, an_attempt("one", model=text), owner.done("begun"))
    assert owner.wait("begun") == [None]
    safe = "".join("\ufffd" if c == "\0" or "\ud800" <= c <= "\udfff" else c for c in text)
    assert rows_in(path, "SELECT client_app, requested_model FROM requests") == [(safe, safe)]
    assert rows_in(path, "SELECT model FROM attempts") == [(safe,)]


def test_a_begin_under_a_foreign_lock_fails_when_it_has_waited_and_a_close_is_kept(
    opened: Callable[..., SqliteLedger], owner: Owner, path: Path
) -> None:
    ledger = opened(busy_seconds=0.2)
    ledger.begin(a_record("one"), an_attempt("one"), owner.done("begun"))
    owner.wait("begun")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        ledger.close(closed(a_record("one")), [], owner.done("closed"))
        ledger.begin(a_record("two"), an_attempt("two"), owner.done("two"))
        assert isinstance(owner.wait("two")[0], LedgerUnavailable)
        assert not ledger.healthy
        assert "locked" in str(ledger.reason())
        assert ledger.stats().kept == 1
        assert "closed" not in owner.told
        other.execute("COMMIT")
    assert owner.wait("closed") == [None]
    assert (ledger.healthy, ledger.reason(), ledger.stats().kept) == (True, None, 0)
    assert rows_in(path, STATUSES) == [("one", "completed", 1)]


def test_stop_writes_what_is_queued(
    opened: Callable[..., SqliteLedger], owner: Owner, path: Path
) -> None:
    ledger = opened()
    for i in range(3000):
        ledger.begin(a_record(f"r{i}"), an_attempt(f"r{i}"), owner.done(f"b{i}"))
        ledger.close(closed(a_record(f"r{i}")), [], owner.done(f"c{i}"))
    ledger.stop(30)
    assert rows_in(path, "SELECT status, count(*) FROM requests GROUP BY 1") == [
        ("completed", 3000)
    ]
    assert ledger.stats().queued == 0
    owner.wait(*(f"c{i}" for i in range(3000)))
    assert not path.with_name("ledger.db-wal").exists()


def test_after_the_stop_everything_is_told_so(ledger: SqliteLedger, owner: Owner) -> None:
    ledger.stop(5)
    ledger.stop(5)
    ledger.begin(a_record("one"), an_attempt("one"), owner.done("begun"))
    ledger.insert(a_record("two"))
    assert isinstance(owner.wait("begun")[0], LedgerUnavailable)


def test_callers_on_many_threads_lose_nothing(
    ledger: SqliteLedger, owner: Owner, path: Path
) -> None:
    def work(name: str) -> None:
        for i in range(100):
            id = f"{name}-{i}"
            ledger.begin(a_record(id), an_attempt(id), owner.done(f"b-{id}"))
            ledger.close(closed(a_record(id)), [], owner.done(id))

    threads = [threading.Thread(target=work, args=(f"t{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    owner.wait(*(f"t{n}-{i}" for n in range(4) for i in range(100)))
    assert rows_in(path, "SELECT status, count(*) FROM requests GROUP BY 1") == [("completed", 400)]
    assert ledger.stats().double_closes == 0


def test_repr_says_which_and_how(ledger: SqliteLedger, path: Path) -> None:
    assert repr(ledger) == f"<SqliteLedger {path} healthy>"
