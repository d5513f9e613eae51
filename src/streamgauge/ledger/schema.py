"""Opens a SQLite ledger for writing: refuses what is not sound, then migrates. Knows no records."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path

from streamgauge.ledger.base import (
    LedgerCorrupt,
    LedgerForeign,
    LedgerOpenError,
    LedgerReadOnly,
)

__all__ = ["APPLICATION_ID", "DAMAGE_CODES", "LATEST", "damaged", "open_for_writing", "opening"]

APPLICATION_ID = 0x53474C47
"""`SGLG` in SQLite's header: whose file this is, also for file(1)."""

LATEST = 5
"""The newest migration's number; the file's `user_version` says which it has."""

DAMAGE_CODES = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})

_OLDEST_SQLITE = (3, 37, 0)
"""The first with STRICT tables."""

_STATEMENTS = 128
"""Prepared statements kept: those of several sets of columns, each in several sizes, 20 kB or so."""

_CHECK_SECONDS = 2.0
"""A start may take this long to look for damage; gigabytes are checked as far as that goes."""


def damaged(path: Path, detail: object) -> LedgerCorrupt:
    """Return the refusal of a file that is no sound database, with the way to mend it."""
    return LedgerCorrupt(
        f"ledger {path} is damaged or no SQLite database ({detail}). Nothing was changed. "
        f"Put a backup in its place; or save a copy and try: sqlite3 {path} .recover | sqlite3 "
        f"recovered.db (not every sqlite3 can: look at what came of it); "
        f"or move the file away to begin a new ledger"
    )


@contextmanager
def opening(path: Path) -> Iterator[None]:
    """Translate SQLite's errors while a ledger is being opened into LedgerOpenError's kinds."""
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", None)
        primary = None if code is None else code & 0xFF
        if primary in DAMAGE_CODES:
            raise damaged(path, error) from error
        if primary in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM):
            raise _read_only(path, str(error)) from error
        if primary == sqlite3.SQLITE_FULL:
            raise LedgerOpenError(f"ledger {path}: its disk is full: free some space") from error
        raise LedgerOpenError(f"ledger {path} cannot be opened: {error}") from error


def open_for_writing(path: Path, *, max_page_count: int | None = None) -> sqlite3.Connection:
    """Return a connection in autocommit mode to a sound ledger of the newest schema.

    It may be handed to another thread. `max_page_count` caps the file's size in pages. Raises
    LedgerOpenError's kinds; a file that is refused is left as it was.
    """
    if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
        raise LedgerOpenError(f"SQLite {sqlite3.sqlite_version} is too old: 3.37 or newer needed")
    if path.exists() and not os.access(path, os.W_OK):
        raise _read_only(path, "permission denied")
    with opening(path):
        connection = sqlite3.connect(
            path, isolation_level=None, check_same_thread=False, cached_statements=_STATEMENTS
        )
        try:
            _check(connection, path)
            _configure(connection, path, max_page_count)
            _migrate(connection)
        except BaseException:
            connection.close()
            raise
    return connection


def _read_only(path: Path, detail: str) -> LedgerReadOnly:
    return LedgerReadOnly(
        f"ledger {path} cannot be written ({detail}): "
        f"make the file writable for this user, or set another ledger.url"
    )


def _check(connection: sqlite3.Connection, path: Path) -> None:
    version = _pragma(connection, "user_version")
    tables = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
    if tables and _pragma(connection, "application_id") != APPLICATION_ID:
        raise LedgerForeign(f"{path} is a database of another program, not a streamgauge ledger")
    if version > LATEST:
        raise LedgerForeign(
            f"ledger {path} was written by a newer streamgauge (schema {version}, "
            f"this one knows {LATEST}): start that one, or set another ledger.url"
        )
    finding = _quick_check(connection)
    if finding != "ok":
        raise damaged(path, finding)


def _quick_check(connection: sqlite3.Connection) -> str:
    deadline = time.monotonic() + _CHECK_SECONDS
    connection.set_progress_handler(lambda: time.monotonic() > deadline, 100_000)
    try:
        return str(connection.execute("PRAGMA quick_check(1)").fetchone()[0])
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
            raise
        return "ok"  # Sound as far as the time allowed.
    finally:
        connection.set_progress_handler(None, 0)


def _configure(connection: sqlite3.Connection, path: Path, max_page_count: int | None) -> None:
    mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
    if mode != "wal":
        raise LedgerOpenError(
            f"ledger {path}: this file system gives no write-ahead log (a network share?): "
            f"set ledger.url to a local disk"
        )
    # FULL: a commit in WAL mode is on the disk before it is told, also through a power cut.
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA wal_autocheckpoint = 1000")
    if max_page_count is not None:
        connection.execute(f"PRAGMA max_page_count = {max_page_count:d}")


def _migrate(connection: sqlite3.Connection) -> None:
    """Bring the file to LATEST, each step and its number in one transaction."""
    here = _pragma(connection, "user_version")
    for number, script in _migrations():
        if number <= here:
            continue
        try:
            connection.executescript(
                f"BEGIN IMMEDIATE;\n{script}\nPRAGMA application_id = {APPLICATION_ID};\n"
                f"PRAGMA user_version = {number};\nCOMMIT;"
            )
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")


def _migrations() -> list[tuple[int, str]]:
    folder = files("streamgauge.ledger").joinpath("migrations")
    scripts = [entry for entry in folder.iterdir() if entry.name.endswith(".sql")]
    return sorted((int(s.name.split("_")[0]), s.read_text(encoding="utf-8")) for s in scripts)


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])
