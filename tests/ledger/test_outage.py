"""While the database is away the spool takes its part, and gives it back (SPEC §8.1, F10, F12, F13)."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from streamgauge.core.record import Status
from streamgauge.ledger.base import LedgerCorrupt, LedgerOpenError, LedgerUnavailable, RowRefused
from streamgauge.ledger.spool import SpoolFile, spool_path
from streamgauge.ledger.sqlite import SqliteLedger

from ..timed import in_time
from .ledger_rig import Owner, a_record, an_attempt, closed, rows_in

SPOOL = 256 << 10
STATUSES = "SELECT status, count(*) FROM requests GROUP BY 1 ORDER BY 1"
Notes = list[tuple[str, str, dict[str, str]]]


@pytest.fixture
def notes() -> Notes:
    return []


@pytest.fixture
def spooling(opened: Callable[..., SqliteLedger], notes: Notes) -> SqliteLedger:
    def note(level: str, event: str, fields: list[tuple[str, str]]) -> None:
        notes.append((level, event, dict(fields)))

    return opened(spool_bytes=SPOOL, notice=note)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[sqlite3.Connection]:
    """Hold the database as another process may."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield other


def begin(ledger: SqliteLedger, owner: Owner, *ids: str) -> None:
    """Begin exchanges, and see each committed."""
    for id in ids:
        ledger.begin(a_record(id), an_attempt(id), owner.done(f"begin {id}"))
    assert owner.wait(*(f"begin {id}" for id in ids)) == [None] * len(ids)


def close(ledger: SqliteLedger, owner: Owner, *ids: str) -> None:
    """Close exchanges, and see each committed."""
    for id in ids:
        ledger.close(closed(a_record(id)), [an_attempt(id)], owner.done(f"close {id}"))
    assert owner.wait(*(f"close {id}" for id in ids)) == [None] * len(ids)


def back(ledger: SqliteLedger, owner: Owner) -> None:
    """Wait until the database has everything again."""
    deadline = time.monotonic() + 20
    while ledger.reason() is not None or ledger.stats().queued:
        assert time.monotonic() < deadline, ledger.reason()
        with contextlib.suppress(Exception):
            owner.calls.get(timeout=0.01)()


@pytest.mark.fault("F12")
def test_while_the_database_is_locked_everything_is_committed_in_the_spool(
    spooling: SqliteLedger, owner: Owner, path: Path, notes: Notes
) -> None:
    begin(spooling, owner, "old")
    rejected = a_record("no", status=Status.REJECTED, success=False)
    with locked(path) as other:
        begin(spooling, owner, "new")
        close(spooling, owner, "old")
        spooling.attempt(an_attempt("new", 2), owner.done("second"))
        spooling.insert(rejected, owner.done("rejected"))
        assert owner.wait("second", "rejected") == [None, None]
        assert spooling.healthy
        assert "locked" in str(spooling.reason())
        stats = spooling.stats()
        assert (stats.spooled, stats.kept, stats.queued) == (4, 0, 0)
        assert stats.spool_bytes > 1000
        other.execute("COMMIT")
    back(spooling, owner)
    stats = spooling.stats()
    assert (stats.replayed, stats.spool_bytes, stats.double_closes) == (4, 0, 0)
    query = "SELECT id, status FROM requests ORDER BY id"
    assert rows_in(path, query) == [("new", "in_flight"), ("no", "rejected"), ("old", "completed")]
    assert rows_in(path, "SELECT request_id, n FROM attempts ORDER BY 1, 2") == [
        ("new", 1),
        ("new", 2),
        ("old", 1),
    ]
    while len(notes) < 2:
        owner.calls.get(timeout=5)()
    assert [(level, event) for level, event, _ in notes] == [
        ("warning", "ledger_away"),
        ("info", "ledger_back"),
    ]
    assert notes[1][2]["replayed"] == "4"


def test_a_begin_waits_for_a_lock_no_longer_than_a_moment(
    spooling: SqliteLedger, owner: Owner, path: Path
) -> None:
    waits = []
    with locked(path):
        for i in range(20):
            start = time.perf_counter()
            begin(spooling, owner, f"r{i}")
            waits.append(time.perf_counter() - start)
    in_time(max(waits), 5 * 0.05)
    in_time(sorted(waits)[10], 5 * 0.01)


def test_a_full_spool_refuses_begins_at_once_and_keeps_room_for_closes(
    spooling: SqliteLedger, owner: Owner, path: Path, notes: Notes
) -> None:
    with locked(path) as other:
        begun = []
        for i in range(5000):
            spooling.begin(a_record(f"r{i}"), an_attempt(f"r{i}"), owner.done(f"r{i}"))
            if owner.wait(f"r{i}") != [None]:
                break
            begun.append(f"r{i}")
        assert len(begun) > 50
        assert not spooling.healthy
        assert "takes no more" in str(spooling.reason())
        start = time.perf_counter()
        spooling.begin(a_record("late"), an_attempt("late"), owner.done("late"))
        assert isinstance(owner.wait("late")[0], LedgerUnavailable)
        in_time(time.perf_counter() - start, 5 * 0.01)
        some = begun[:40]
        close(spooling, owner, *some)
        assert spooling.stats().kept == 0
        for id in begun[40:]:
            spooling.close(closed(a_record(id, error_message="x" * 500)), [], owner.done(f"c {id}"))
        # Closes are told when they are committed; those that find no room wait in memory.
        deadline = time.monotonic() + 10
        while spooling.stats().kept == 0:
            assert time.monotonic() < deadline
            spooling.insert(a_record(f"no{deadline}", status=Status.REJECTED))
        other.execute("COMMIT")
    back(spooling, owner)
    assert owner.wait(*(f"c {id}" for id in begun[40:])) == [None] * len(begun[40:])
    assert rows_in(path, STATUSES)[0] == ("completed", len(begun))
    assert rows_in(path, "SELECT count(*) FROM requests WHERE id = 'late'") == [(0,)]
    assert spooling.healthy
    assert [event for _, event, _ in notes].count("spool_full") == 1


@pytest.mark.fault("F10")
def test_a_full_disk_is_no_outage_while_the_spool_holds(
    opened: Callable[..., SqliteLedger], owner: Owner, path: Path
) -> None:
    opened().stop(5)
    ledger = opened(max_page_count=200, spool_bytes=SPOOL)
    begin(ledger, owner, "old")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("CREATE TABLE filler (x)")
        other.execute(f"INSERT INTO filler VALUES (zeroblob({200 * 4096}))")
        long = "x" * 3000
        ids = [f"r{i}" for i in range(20)]
        for id in ids:
            ledger.begin(a_record(id, client_app=long), an_attempt(id), owner.done(id))
            assert owner.wait(id) == [None]
        close(ledger, owner, "old", *ids)
        assert "full" in str(ledger.reason())
        other.execute("DROP TABLE filler")
    back(ledger, owner)
    assert rows_in(path, STATUSES) == [("completed", 21)]


def test_a_ledger_that_was_moved_away_is_written_to_when_it_is_back(
    spooling: SqliteLedger, owner: Owner, path: Path, tmp_path: Path
) -> None:
    begin(spooling, owner, "old")
    path.rename(tmp_path / "elsewhere.db")
    begin(spooling, owner, "new")
    close(spooling, owner, "old")
    assert "moved or removed" in str(spooling.reason())
    (tmp_path / "elsewhere.db").rename(path)
    back(spooling, owner)
    assert rows_in(path, STATUSES) == [("completed", 1), ("in_flight", 1)]


@pytest.mark.fault("F13")
def test_damage_found_while_running_sends_everything_to_the_spool(
    opened: Callable[..., SqliteLedger], owner: Owner, path: Path, notes: Notes
) -> None:
    first = opened()
    begin(first, owner, *(f"r{i:04}" for i in range(400)))
    first.stop(5)

    def note(level: str, event: str, fields: list[tuple[str, str]]) -> None:
        notes.append((level, event, dict(fields)))

    ledger = opened(spool_bytes=SPOOL, notice=note)
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (path.stat().st_size - 4096))
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        # Another's commit makes the writer read its pages anew.
        other.execute(f"PRAGMA user_version = {rows_in(path, 'PRAGMA user_version')[0][0]}")
    begin(ledger, owner, "r9999", "a", "m", "z")
    close(ledger, owner, "a")
    assert "damaged" in str(ledger.reason())
    assert ".recover" in str(ledger.reason())
    assert ledger.healthy
    assert ("error", "ledger_away") in [(level, event) for level, event, _ in notes]
    ledger.stop(5)
    before = spool_path(path).read_bytes()
    with pytest.raises(LedgerCorrupt):
        opened(spool_bytes=SPOOL)
    assert spool_path(path).read_bytes() == before
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    opened(spool_bytes=SPOOL).stop(5)
    query = "SELECT id, status FROM requests WHERE id IN ('a', 'z') ORDER BY id"
    assert rows_in(path, query) == [("a", "completed"), ("z", "gateway_crash")]


def test_what_a_stop_leaves_in_the_spool_the_next_start_brings_in(
    opened: Callable[..., SqliteLedger], owner: Owner, path: Path
) -> None:
    ledger = opened(spool_bytes=SPOOL)
    with locked(path):
        begin(ledger, owner, "done", "open")
        close(ledger, owner, "done")
        start = time.perf_counter()
        ledger.stop(20)
        assert time.perf_counter() - start < 5
        assert ledger.stats().kept == 0
    following = opened(spool_bytes=SPOOL)
    assert following.recovered == 1
    assert following.stats().replayed == 3
    query = "SELECT id, status FROM requests ORDER BY id"
    assert rows_in(path, query) == [("done", "completed"), ("open", "gateway_crash")]
    following.stop(5)
    assert opened(spool_bytes=SPOOL).stats().replayed == 0


def test_a_start_waits_for_who_holds_the_database_for_a_moment(
    opened: Callable[..., SqliteLedger], owner: Owner, path: Path
) -> None:
    """A gateway that was killed while it spooled is started again at once, by its supervisor."""
    ledger = opened(spool_bytes=SPOOL)
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        begin(ledger, owner, "open")
        ledger.stop(5)
        moment = threading.Timer(0.2, other.execute, ["COMMIT"])
        moment.start()
        try:
            following = opened(spool_bytes=SPOOL)
        finally:
            moment.join()
    assert (following.recovered, following.stats().replayed) == (1, 1)
    assert rows_in(path, STATUSES) == [("gateway_crash", 1)]


def test_a_spool_that_is_no_longer_wanted_is_emptied_first(
    opened: Callable[..., SqliteLedger], owner: Owner, path: Path
) -> None:
    ledger = opened(spool_bytes=SPOOL)
    with locked(path):
        begin(ledger, owner, "one")
        close(ledger, owner, "one")
        ledger.stop(5)
    opened().stop(5)
    assert rows_in(path, STATUSES) == [("completed", 1)]
    assert not spool_path(path).exists()


def test_a_record_that_the_database_refuses_costs_only_itself(
    spooling: SqliteLedger, owner: Owner, path: Path, notes: Notes
) -> None:
    with locked(path) as other:
        begin(spooling, owner, "before")
        wrong = a_record("wrong", input_tokens="many")
        spooling.begin(wrong, an_attempt("wrong"), owner.done("wrong"))
        spooling.begin(a_record("big", input_tokens=2**63), an_attempt("big"), owner.done("big"))
        begin(spooling, owner, "after")
        assert isinstance(owner.wait("big")[0], RowRefused)
        other.execute("COMMIT")
    back(spooling, owner)
    assert rows_in(path, "SELECT id FROM requests ORDER BY id") == [("after",), ("before",)]
    assert spooling.stats().refused == 2
    told = sorted(fields["reason"] for _, event, fields in notes if event == "row_refused")
    assert told[0] == "the record of big cannot be stored: a number beyond 64 bits"
    assert told[1].startswith("the record of wrong cannot be stored: ")
    assert len(told) == 2


def test_a_spool_of_another_kind_stops_the_start(
    opened: Callable[..., SqliteLedger], path: Path
) -> None:
    spool_path(path).write_bytes(b"my notes\n" * 1000)
    with pytest.raises(LedgerOpenError, match=r"no spool.*move it away"):
        opened(spool_bytes=SPOOL)
    assert spool_path(path).read_bytes() == b"my notes\n" * 1000


def test_a_spool_whose_ledger_is_in_use_is_not_touched(
    spooling: SqliteLedger, opened: Callable[..., SqliteLedger], owner: Owner, path: Path
) -> None:
    with locked(path) as other:
        begin(spooling, owner, "one")
        before = spool_path(path).read_bytes()
        with pytest.raises(LedgerOpenError, match="in use by another gateway"):
            opened(spool_bytes=SPOOL * 2)
        assert spool_path(path).read_bytes() == before
        other.execute("COMMIT")
    back(spooling, owner)
    file = SpoolFile(spool_path(path))
    assert file.end == file.start
    file.close()
