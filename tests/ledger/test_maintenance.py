"""A ledger's file as a whole: upgraded with its rows intact, copied while written, shrunk."""

from __future__ import annotations

import errno
import os
import resource
import sqlite3
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from streamgauge.ledger import rollup
from streamgauge.ledger.base import LedgerForeign, LedgerLocked, LedgerMissing
from streamgauge.ledger.maintenance import Vacuumed, back_up, migrate, rebuild_rollups, vacuum
from streamgauge.ledger.new_file import FileRefused, new_file
from streamgauge.ledger.reader import Filter, LedgerReader
from streamgauge.ledger.rows import ATTEMPTS, REQUESTS, RowShape
from streamgauge.ledger.schema import LATEST
from streamgauge.ledger.sqlite import SqliteLedger

from .ledger_rig import Owner, a_record, an_attempt, closed, rows_in
from .made_ledger import add, exchanges, make
from .rollup_rig import found_differences

SCHEMA_1 = Path(__file__).parents[1] / "data" / "ledgers" / "schema_1.sql"


def silent(done: int, total: int) -> None:
    assert 0 <= done <= total


@pytest.fixture
def old(path: Path) -> Path:
    """Return a ledger as the release with schema 1 left it."""
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(SCHEMA_1.read_text())
    return path


def contents(path: Path) -> list[Any]:
    """Return the rows of both tables; a column that is not there yet is null in each."""
    return [
        rows_in(path, f"SELECT {_columns(path, table, shape)} FROM {table} ORDER BY 1, 2")
        for shape, table in ((REQUESTS, "requests"), (ATTEMPTS, "attempts"))
    ]


def _columns(path: Path, table: str, shape: RowShape) -> str:
    there = {column[1] for column in rows_in(path, f"PRAGMA table_info({table})")}
    return ", ".join(name if name in there else "NULL" for name in shape.names)


# -- migrations


def test_a_ledger_of_the_first_release_is_upgraded_with_its_rows_intact(old: Path) -> None:
    before = contents(old)
    assert [len(rows) for rows in before] == [40, 40]
    result = migrate(old, progress=silent)
    assert (result.before, result.after) == (1, LATEST)
    assert contents(old) == before
    assert rows_in(old, "SELECT count(*) FROM closings") == [(37,)]
    assert rows_in(old, "SELECT rolled_up_to FROM rollup_state") == [(37,)]
    assert rows_in(old, "PRAGMA integrity_check") == [("ok",)]
    with closing(sqlite3.connect(old, isolation_level=None)) as connection:
        assert found_differences(connection) == []
        assert rollup.usage(connection)[0].exchanges == 37
    assert result.backup is not None
    assert contents(result.backup) == before
    assert rows_in(result.backup, "PRAGMA user_version") == [(1,)]
    again = migrate(old, progress=silent)
    assert (again.before, again.after, again.backup) == (LATEST, LATEST, None)


def test_a_start_upgrades_it_too(old: Path, opened: Callable[..., SqliteLedger]) -> None:
    before = contents(old)
    ledger = opened()
    assert ledger.recovered == 3
    ledger.stop(5)
    after = contents(old)
    closed_before = [row for row in before[0] if "in_flight" not in row]
    assert [row for row in after[0] if "gateway_crash" not in row or row in closed_before] == (
        closed_before
    )
    with closing(sqlite3.connect(old, isolation_level=None)) as connection:
        assert rollup.usage(connection)[0].exchanges == 40
        assert found_differences(connection) == []


def test_an_upgraded_ledger_is_as_a_new_one(old: Path, tmp_path: Path) -> None:
    migrate(old, progress=silent)
    new = tmp_path / "new.db"
    make(new, 1)
    query = "SELECT type, name, sql FROM sqlite_schema ORDER BY 1, 2"
    assert rows_in(old, query) == rows_in(new, query)


def test_an_older_ledger_is_read_before_it_is_upgraded(old: Path) -> None:
    with LedgerReader(old) as reader:
        assert reader.schema == 1
        assert reader.count(Filter()) == len(list(reader.newest(Filter()))) == 40


def test_a_migration_that_fails_leaves_the_ledger_as_it_was(old: Path) -> None:
    with closing(sqlite3.connect(old)) as connection:
        connection.execute("CREATE TABLE rollup_names (mine)")
    before = contents(old)
    with pytest.raises(Exception, match="rollup_names"):
        migrate(old, progress=silent)
    assert contents(old) == before
    assert rows_in(old, "PRAGMA user_version") == [(1,)]
    assert rows_in(old, "SELECT name FROM sqlite_schema WHERE name = 'closings'") == []


# -- a gateway has it


@pytest.mark.parametrize("work", [
    lambda path: migrate(path, progress=silent),
    vacuum,
    lambda path: rebuild_rollups(path, progress=silent),
])  # fmt: skip
def test_what_needs_the_file_alone_refuses_while_a_gateway_runs(
    ledger: SqliteLedger, path: Path, work: Callable[[Path], Any]
) -> None:
    with pytest.raises(LedgerLocked, match=r"in use by a gateway \(pid .*\): stop it first"):
        work(path)
    ledger.stop(5)
    work(path)


@pytest.mark.parametrize("work", [
    lambda path: migrate(path, progress=silent),
    vacuum,
    lambda path: back_up(path, path.with_name("b.db"), replace=False, progress=silent),
])  # fmt: skip
def test_none_is_made_where_there_is_none(path: Path, work: Callable[[Path], Any]) -> None:
    with pytest.raises(LedgerMissing, match="no ledger at"):
        work(path)
    assert list(path.parent.iterdir()) == []


def test_a_backup_of_an_earlier_try_stays(old: Path) -> None:
    first = old.with_name("ledger.db.schema-1.backup")
    first.write_text("of a try that was cut off")
    assert migrate(old, progress=silent).backup == old.with_name("ledger.db.schema-1-2.backup")
    assert first.read_text() == "of a try that was cut off"


def test_a_newer_ledger_is_left_alone(path: Path) -> None:
    make(path, 1)
    with closing(sqlite3.connect(path)) as other:
        other.execute("PRAGMA user_version = 99")
    with pytest.raises(LedgerForeign, match="newer"):
        migrate(path, progress=silent)
    assert [file for file in path.parent.iterdir() if "backup" in file.name] == []


# -- backup


def test_a_backup_while_a_gateway_writes_is_whole(
    ledger: SqliteLedger, owner: Owner, path: Path, tmp_path: Path
) -> None:
    """Copied in several steps, none of which begins anew because a row came in."""
    target, stop = tmp_path / "backup.db", threading.Event()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        add(connection, exchanges(3500))
    for i in range(500):
        ledger.begin(a_record(f"r{i}"), an_attempt(f"r{i}"), owner.done(f"r{i}"))
    owner.wait("r499")
    written = [0]

    def write() -> None:
        while not stop.is_set():
            ledger.close(closed(a_record(f"r{written[0] % 500}")), [], lambda error: None)
            owner.calls.get(timeout=20)()
            written[0] += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(2):
            seen: list[tuple[int, int]] = []
            size = back_up(path, target, replace=True, progress=lambda *at: seen.append(at))  # noqa: B023
            assert size == target.stat().st_size
            assert rows_in(target, "PRAGMA integrity_check") == [("ok",)]
            with closing(sqlite3.connect(target, isolation_level=None)) as copy:
                assert found_differences(copy) == []
            assert seen[-1][0] == seen[-1][1]
            assert len(seen) > 1
            assert [done for done, _ in seen] == sorted({done for done, _ in seen})
    finally:
        stop.set()
        writer.join()
    assert written[0] > 0
    assert ledger.healthy


def test_a_backup_can_be_put_in_the_ledgers_place(
    path: Path, tmp_path: Path, opened: Callable[..., SqliteLedger]
) -> None:
    make(path, 50)
    target = tmp_path / "backup.db"
    back_up(path, target, replace=False, progress=silent)
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert contents(target) == contents(path)
    opened(path=target).stop(5)
    assert {file.name for file in tmp_path.iterdir()} <= {
        "ledger.db", "backup.db", "backup.db.lock", "ledger.db-wal", "ledger.db-shm",
    }  # fmt: skip


def test_a_backup_replaces_nothing_unasked(path: Path, tmp_path: Path) -> None:
    make(path, 5)
    target = tmp_path / "backup.db"
    target.write_text("dear to me")
    with pytest.raises(FileRefused, match="there already"):
        back_up(path, target, replace=False, progress=silent)
    assert target.read_text() == "dear to me"
    back_up(path, target, replace=True, progress=silent)
    assert contents(target) == contents(path)
    for itself in (path, tmp_path / "." / "ledger.db"):
        with pytest.raises(FileRefused, match="the ledger itself"):
            back_up(path, itself, replace=True, progress=silent)
    with pytest.raises(FileRefused, match="no plain file"):
        back_up(path, tmp_path, replace=True, progress=silent)
    with pytest.raises(FileRefused, match="cannot write"):
        back_up(path, tmp_path / "no" / "where.db", replace=False, progress=silent)


@pytest.mark.parametrize("beside", ["-wal", "-shm", ".lock", ".spool", ".keys-secret"])
def test_a_backup_takes_the_place_of_nothing_of_the_ledgers(
    path: Path, tmp_path: Path, opened: Callable[..., SqliteLedger], beside: str
) -> None:
    make(path, 5)
    opened()
    link = tmp_path / "link.db"
    link.symlink_to(path)
    own = path.with_name(path.name + beside)
    before = own.read_bytes() if own.exists() else None
    for ledger in (path, link):
        with pytest.raises(FileRefused, match="belongs to the ledger"):
            back_up(ledger, own, replace=True, progress=silent)
    assert (own.read_bytes() if own.exists() else None) == before


def test_a_backup_is_not_laid_under_the_log_of_another_ledger(
    path: Path, tmp_path: Path, opened: Callable[..., SqliteLedger]
) -> None:
    make(path, 5)
    other = tmp_path / "other.db"
    running = opened(path=other)
    before = contents(other)
    with pytest.raises(FileRefused, match=r"in use or was not closed: other\.db-wal"):
        back_up(path, other, replace=True, progress=silent)
    assert contents(other) == before
    running.stop(5)
    back_up(path, other, replace=True, progress=silent)
    assert contents(other) == contents(path)


@contextmanager
def files_up_to(size: int) -> Iterator[None]:
    """Let no file grow beyond `size` bytes, as on a disk that is full by then."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_disk_without_room_for_a_copy_is_no_fault_of_the_ledger(path: Path) -> None:
    make(path, 400)
    target = path.with_name("backup.db")
    before = contents(path)
    with files_up_to(64 << 10), pytest.raises(FileRefused, match=r"cannot write .*backup\.db"):
        back_up(path, target, replace=False, progress=silent)
    assert {file.name for file in path.parent.iterdir() if "backup" in file.name} == set()
    assert contents(path) == before


def half_written(target: Path) -> None:
    with new_file(target, replace=False) as partial:
        partial.write_text("half")
        assert not target.exists()
        raise KeyboardInterrupt


def test_a_file_is_made_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        half_written(target)
    assert list(tmp_path.iterdir()) == []
    made = new_file(target, replace=False)
    made.__enter__()
    target.write_text("came meanwhile")
    with pytest.raises(FileRefused, match="there already"):
        made.__exit__(None, None, None)
    assert target.read_text() == "came meanwhile"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("number", [errno.EPERM, errno.EOPNOTSUPP])
def test_a_file_system_without_links_takes_a_file_as_well(
    tmp_path: Path, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def link(*_: object) -> None:
        raise OSError(number, "no links here")

    monkeypatch.setattr(os, "link", link)
    target = tmp_path / "out"
    with new_file(target, replace=False) as partial:
        partial.write_text("whole")
    assert target.read_text() == "whole"
    made = new_file(target.with_name("other"), replace=False)
    made.__enter__()
    target.with_name("other").write_text("came meanwhile")
    with pytest.raises(FileRefused, match="there already"):
        made.__exit__(None, None, None)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["other", "out"]


@pytest.mark.parametrize("replace", [False, True])
def test_a_full_disk_is_said_and_leaves_nothing(tmp_path: Path, replace: bool) -> None:
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    target = tmp_path / "out"
    with (
        pytest.raises(FileRefused, match="out cannot be written: No space left"),
        new_file(target, replace=replace),
    ):
        raise full
    assert list(tmp_path.iterdir()) == []


# -- vacuum


def test_vacuum_gives_space_back_and_keeps_every_row(path: Path) -> None:
    make(path, 800)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DELETE FROM attempts")
        connection.execute("DELETE FROM requests WHERE rowid % 10 <> 0")
        connection.commit()
    before = contents(path)
    result = vacuum(path)
    assert isinstance(result, Vacuumed)
    assert result.after < result.before / 2
    assert result.after == path.stat().st_size
    assert contents(path) == before


def test_rollups_are_made_anew(path: Path) -> None:
    make(path, 800)
    seen: list[tuple[int, int]] = []
    rebuild_rollups(path, progress=lambda *at: seen.append(at))
    assert seen == [(500, 800), (800, 800)]
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("DELETE FROM rollup_usage")
        assert found_differences(connection) != []
    rebuild_rollups(path, progress=silent)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        assert found_differences(connection) == []
