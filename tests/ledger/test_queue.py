"""The bound before a slow disk, and maintenance between two commits."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from streamgauge.ledger.base import LedgerError, LedgerUnavailable
from streamgauge.ledger.operations import AddAttempt, Close, Insert, Maintain
from streamgauge.ledger.sqlite import SqliteLedger
from streamgauge.ledger.writer import Writer

from .fake_store import FakeStore, begin, close, committed
from .ledger_rig import Owner, a_record, an_attempt, rows_in

BOUND = 10


@pytest.fixture
def store() -> FakeStore:
    return FakeStore()


@pytest.fixture
def writer(store: FakeStore, owner: Owner) -> Iterator[Writer]:
    writer = Writer(store, owner.calls.put, queue=BOUND)
    yield writer
    store.gate.set()
    writer.stop(0.1)
    store.connection.close()


@pytest.fixture
def full(store: FakeStore, writer: Writer, owner: Owner) -> Writer:
    """Return a writer whose disk is slow and whose queue is full."""
    store.gate.clear()
    writer.submit(begin(owner, "first"))
    store.entered.acquire(timeout=20)
    while writer.stats().queued < BOUND:
        writer.submit(begin(owner, f"b{writer.stats().queued}"))
    return writer


def test_a_begin_that_finds_the_queue_full_is_refused_at_once(
    full: Writer, store: FakeStore, owner: Owner
) -> None:
    full.submit(begin(owner, "late"))
    full.submit(AddAttempt(("late", 2), owner.done("attempt")))
    assert all(
        isinstance(error, LedgerUnavailable) for error in owner.wait("begin late", "attempt")
    )
    assert full.stats().turned_away == 2
    assert full.stats().queued == BOUND
    store.gate.set()
    assert owner.wait("begin first", f"begin b{BOUND - 1}") == [None, None]


def test_a_disk_that_does_not_answer_makes_the_ledger_unhealthy_until_it_does(
    store: FakeStore, owner: Owner
) -> None:
    writer = Writer(store, owner.calls.put, stuck_seconds=0.0)
    assert (writer.healthy, writer.reason) == (True, None)
    store.gate.clear()
    writer.submit(begin(owner, "waits"))
    store.entered.acquire(timeout=20)
    assert not writer.healthy
    assert "not answered for 0 s" in str(writer.reason)
    store.gate.set()
    owner.wait("begin waits")
    writer.stop(20)
    assert (writer.healthy, writer.reason) == (True, None)
    store.connection.close()


def test_closes_wait_in_a_full_queue_and_none_is_lost(
    full: Writer, store: FakeStore, owner: Owner
) -> None:
    for i in range(50):
        full.submit(close(owner, f"c{i}"))
    assert full.stats().waited == 50
    assert full.stats().queued == BOUND + 50
    store.gate.set()
    assert owner.wait(*(f"close c{i}" for i in range(50))) == [None] * 50
    assert sum(isinstance(each, Close) for each in committed(store)) == 50


def test_rejections_do_not_fill_a_full_queue_further(
    full: Writer, store: FakeStore, owner: Owner
) -> None:
    full.submit(begin(owner, "late"))
    full.submit(close(owner, "late", rejected=True))
    full.submit(Insert(("no",), owner.done("insert")))
    errors = owner.wait("begin late", "close late", "insert")
    assert all(isinstance(error, LedgerUnavailable) for error in errors)
    assert full.stats().lost_inserts == 2
    assert full.stats().queued == BOUND


def test_a_queue_that_is_drained_takes_begins_again(
    full: Writer, store: FakeStore, owner: Owner
) -> None:
    store.gate.set()
    owner.wait(f"begin b{BOUND - 1}")
    full.submit(begin(owner, "new"))
    assert owner.wait("begin new") == [None]


def test_maintenance_is_done_between_commits_one_piece_after_each(
    store: FakeStore, writer: Writer, owner: Owner
) -> None:
    store.gate.clear()
    writer.submit(begin(owner, "0"))
    store.entered.acquire(timeout=20)
    more = begin(owner, "2")
    writer.submit(Maintain("a", lambda connection: writer.submit(more), owner.done("a")))
    writer.submit(Maintain("b", lambda connection: None, owner.done("b")))
    writer.submit(begin(owner, "1"))
    store.gate.set()
    assert owner.wait("a", "b", "begin 2") == [None, None, None]
    assert store.chores == [2, 3]
    assert writer.stats().maintained == 2


def test_maintenance_that_fails_is_counted_told_noted_and_harmless(
    store: FakeStore, owner: Owner
) -> None:
    notes: list[tuple[str, str]] = []

    def note(level: str, event: str, fields: list[tuple[str, str]]) -> None:
        notes.append((level, event))

    def fails(connection: sqlite3.Connection) -> None:
        raise ZeroDivisionError("a bug")

    writer = Writer(store, owner.calls.put, notice=note)
    writer.submit(Maintain("roll-up", fails, owner.done("chore")))
    writer.submit(begin(owner, "after"))
    (error, begun) = owner.wait("chore", "begin after")
    assert str(error) == "roll-up: a bug"
    assert begun is None
    assert writer.reason is None
    assert writer.stats().maintenance_failures == 1
    assert notes == [("warning", "maintenance_failed")]
    writer.stop(20)


def test_maintenance_in_an_outage_and_after_the_stop_is_told_so(
    store: FakeStore, writer: Writer, owner: Owner
) -> None:
    ran = threading.Event()
    store.broken.set()
    writer.submit(close(owner, "a"))
    while writer.reason is None:
        store.entered.acquire(timeout=0.01)
    writer.submit(Maintain("x", lambda connection: ran.set(), owner.done("outage")))
    assert isinstance(owner.wait("outage")[0], LedgerUnavailable)
    writer.stop(0.1)
    writer.submit(Maintain("x", lambda connection: ran.set(), owner.done("stopped")))
    assert isinstance(owner.wait("stopped")[0], LedgerUnavailable)
    assert not ran.is_set()


def test_maintenance_is_one_transaction_that_fails_whole(
    opened: Callable[..., SqliteLedger], owner: Owner, path: Path
) -> None:
    ledger = opened()
    ledger.begin(a_record("one"), an_attempt("one"), owner.done("begun"))

    def fails(connection: sqlite3.Connection) -> None:
        connection.execute("DELETE FROM attempts")
        connection.execute("DELETE FROM no_such_table")

    def works(connection: sqlite3.Connection) -> None:
        connection.execute("UPDATE requests SET route = 'x'")

    ledger.maintain("fails", fails, owner.done("fails"))
    ledger.maintain("works", works, owner.done("works"))
    failed: LedgerError | None = owner.wait("begun", "works", "fails")[2]
    assert "no such table" in str(failed)
    assert rows_in(path, "SELECT count(*) FROM attempts") == [(1,)]
    assert rows_in(path, "SELECT route FROM requests") == [("x",)]
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        ledger.maintain("locked", works, owner.done("locked"))
        assert "locked" in str(owner.wait("locked")[0])
    assert ledger.healthy
    assert (ledger.stats().maintained, ledger.stats().maintenance_failures) == (1, 2)


def test_an_idle_ledger_is_tidied(store: FakeStore, writer: Writer, owner: Owner) -> None:
    writer.submit(begin(owner, "a"))
    assert store.tidied.acquire(timeout=20)
    assert store.idled.acquire(timeout=20)
    assert not store.idled.acquire(timeout=1.5), "with nothing new there is nothing to tidy"
