"""Work on a ledger's file as a whole: copy it, migrate it, give space back. Knows no rows."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from streamgauge.ledger.base import LedgerLocked, LedgerMissing
from streamgauge.ledger.lock import LedgerLock
from streamgauge.ledger.new_file import FileRefused, new_file
from streamgauge.ledger.own_files import apart_from, without_log
from streamgauge.ledger.presence import is_there
from streamgauge.ledger.reader import LedgerReader
from streamgauge.ledger.rollup_fill import catch_up, rebuild
from streamgauge.ledger.schema import DAMAGE_CODES, LATEST, open_for_writing, opening

__all__ = ["Migrated", "Progress", "Vacuumed", "back_up", "migrate", "rebuild_rollups", "vacuum"]

Progress = Callable[[int, int], None]
"""Told how much is done, and of how much."""

_PAGES = 256
"""Pages copied at a time, 1 MiB: often enough to show progress and to notice Ctrl-C."""


@dataclass(frozen=True, slots=True)
class Migrated:
    """From which schema to which; `backup`: the copy made before, None when nothing was to do."""

    before: int
    after: int
    backup: Path | None


@dataclass(frozen=True, slots=True)
class Vacuumed:
    """Bytes on the disk, the write-ahead log included."""

    before: int
    after: int


def back_up(ledger: Path, target: Path, *, replace: bool, progress: Progress) -> int:
    """Copy the ledger as it is at this instant, also while a gateway writes; return the bytes.

    `target` appears whole, synced and 0600, or not at all. `progress`: pages. Raises
    LedgerOpenError's kinds for the ledger, FileRefused for the target.
    """
    with (
        LedgerReader(ledger) as reader,
        new_file(without_log(apart_from(ledger, target)), replace=replace) as made,
    ):
        with (
            opening(ledger),
            reader.snapshot() as source,
            _copying_to(target),
            closing(sqlite3.connect(made)) as copy,
        ):
            source.backup(
                copy,
                pages=_PAGES,
                progress=lambda _, left, total: progress(total - left, total),
            )
        return made.stat().st_size


def migrate(ledger: Path, *, progress: Progress) -> Migrated:
    """Bring the ledger to the newest schema, and its roll-ups up to date, after a backup beside it.

    Raises LedgerLocked while a gateway has it, LedgerOpenError's other kinds, FileRefused.
    """
    with _alone(ledger, "migrate"):
        before = _schema_of(ledger)
        if before == LATEST:
            return Migrated(before, LATEST, None)
        backup = None
        if before < LATEST:
            backup = _free_name(ledger, f"schema-{before}")
            back_up(ledger, backup, replace=False, progress=progress)
        with closing(open_for_writing(ledger)) as connection, opening(ledger):
            _roll_up_all(connection, progress)
    return Migrated(before, LATEST, backup)


def vacuum(ledger: Path) -> Vacuumed:
    """Write the file anew without its free space. It needs as much space again while it runs.

    Raises LedgerLocked while a gateway has the ledger, and LedgerOpenError's other kinds.
    """
    with _alone(ledger, "vacuum"):
        before = _size(ledger)
        with closing(open_for_writing(ledger)) as connection, opening(ledger):
            connection.execute("VACUUM")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return Vacuumed(before, _size(ledger))


def rebuild_rollups(ledger: Path, *, progress: Progress) -> None:
    """Make the roll-ups of all days whose rows are kept anew from these rows.

    Raises LedgerLocked while a gateway has the ledger, and LedgerOpenError's other kinds.
    """
    with (
        _alone(ledger, "rollup --rebuild"),
        closing(open_for_writing(ledger)) as connection,
        opening(ledger),
    ):
        with _transaction(connection):
            rebuild(connection)
        _roll_up_all(connection, progress)


@contextmanager
def _copying_to(target: Path) -> Iterator[None]:
    """Say what keeps a copy from being written as its fault; damage is the ledger's."""
    try:
        yield
    except sqlite3.Error as error:
        if error.sqlite_errorcode & 0xFF in DAMAGE_CODES:
            raise
        raise FileRefused(f"cannot write {target}: {error}") from error


def _free_name(ledger: Path, label: str) -> Path:
    """Return a name for a backup; one of an earlier try that was cut off stays as it is."""
    names = (f"{ledger.name}.{label}{'' if n == 1 else f'-{n}'}.backup" for n in count(1))
    return next(path for name in names if not (path := ledger.with_name(name)).exists())


def _roll_up_all(connection: sqlite3.Connection, progress: Progress) -> None:
    last = connection.execute("SELECT ifnull(max(seq), 0) FROM closings").fetchone()[0]
    more = True
    while more:
        with _transaction(connection):
            more = catch_up(connection)
        done = connection.execute("SELECT rolled_up_to FROM rollup_state").fetchone()[0]
        progress(done, last)


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


@contextmanager
def _alone(ledger: Path, verb: str) -> Iterator[None]:
    """Hold the ledger's lock, so that no gateway starts meanwhile."""
    if not is_there(ledger):
        raise LedgerMissing(f"there is no ledger at {ledger}")
    try:
        lock = LedgerLock(ledger, owner=f"ledger {verb}")
    except LedgerLocked as error:
        holder = str(error).partition(" is in use by another gateway")[2].partition(":")[0]
        raise LedgerLocked(
            f"ledger {ledger} is in use by a gateway{holder}: stop it first, then {verb} again"
        ) from error
    try:
        yield
    finally:
        lock.release()


def _schema_of(ledger: Path) -> int:
    with LedgerReader(ledger) as reader:
        return reader.schema


def _size(ledger: Path) -> int:
    files = (ledger, ledger.with_name(ledger.name + "-wal"))
    return sum(file.stat().st_size for file in files if file.exists())
