"""The default ledger: one SQLite file, one writer thread. Knows nothing of streams."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from streamgauge.core.record import AttemptRecord, ExchangeRecord, Status
from streamgauge.ledger.base import Done, LedgerLocked, LedgerStats, Notice, Post
from streamgauge.ledger.lock import LedgerLock
from streamgauge.ledger.operations import AddAttempt, Begin, Close, Insert, Maintain
from streamgauge.ledger.recovery import close_left_open, recovered_spool
from streamgauge.ledger.rows import ATTEMPTS, REQUESTS
from streamgauge.ledger.schema import open_for_writing, opening
from streamgauge.ledger.store import SqliteStore
from streamgauge.ledger.writer import Writer

__all__ = ["SqliteLedger"]

_SPOOL_MS = 50
"""How long a begin waits for another process's lock before it goes into the spool."""
_LOCK_SECONDS, _LOOK_SECONDS = 1.0, 0.02
"""`keys create` has the lock while it makes a ledger, and a gateway that stops until its last commit."""


class SqliteLedger:
    """The books in `path`, held by this gateway alone from construction to `stop` (SPEC §8.2).

    Construction locks, checks and migrates the file, brings in what a spool holds, and closes what
    dead gateways left in flight; it raises LedgerOpenError's kinds. `owner` is this start's id,
    `now_us` the wall clock in µs, `post` runs a call on the owner's thread, `notice` there takes
    log lines. `spool_bytes`: the space to take for the spool, 0 for none. `busy_seconds`: how long
    the start, and without a spool a begin, waits for a lock that another process holds.
    `max_page_count` caps the file, for tests.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        owner: str,
        now_us: Callable[[], int],
        post: Post,
        notice: Notice | None = None,
        spool_bytes: int = 0,
        busy_seconds: float = 5.0,
        max_page_count: int | None = None,
    ) -> None:
        self._path = Path(path)
        self._lock = _locked(self._path, owner)
        with ExitStack() as undo:
            undo.callback(self._lock.release)
            connection = open_for_writing(self._path, max_page_count=max_page_count)
            undo.callback(connection.close)
            busy_ms = round(busy_seconds * 1000)
            with opening(self._path):
                patient = SqliteStore(connection, self._path, busy_ms=busy_ms)
                spooler = recovered_spool(self._path, patient, spool_bytes)
                if spooler is not None:
                    undo.callback(spooler.close)
                self._recovered = close_left_open(connection, now_us())
            undo.pop_all()
        busy_ms = _SPOOL_MS if spool_bytes else busy_ms
        store = SqliteStore(connection, self._path, busy_ms=busy_ms)
        self._writer = Writer(store, post, spooler=spooler, notice=notice)

    def __repr__(self) -> str:
        return f"<SqliteLedger {self._path} {self.reason() or 'healthy'}>"

    @property
    def path(self) -> Path:
        """The file, as it was named."""
        return self._path

    @property
    def recovered(self) -> int:
        """How many rows this start found open and closed as `gateway_crash`."""
        return self._recovered

    @property
    def healthy(self) -> bool:
        """Whether a begin can be committed now, in the database or in the spool."""
        return self._writer.healthy

    def reason(self) -> str | None:
        """Say why the database cannot be written, also while the spool takes its part, or None."""
        return self._writer.reason

    def stats(self) -> LedgerStats:
        """Return the counts."""
        return self._writer.stats()

    def begin(self, record: ExchangeRecord, attempt: AttemptRecord, done: Done) -> None:
        """Queue both rows of an exchange that is about to call its first upstream."""
        self._writer.submit(Begin(REQUESTS.row(record), ATTEMPTS.row(attempt), done))

    def attempt(
        self, attempt: AttemptRecord, done: Done, over: AttemptRecord | None = None
    ) -> None:
        """Queue the row of a later attempt, and the closed one of the attempt before it."""
        closed = None if over is None else ATTEMPTS.row(over)
        self._writer.submit(AddAttempt(ATTEMPTS.row(attempt), done, closed))

    def close(
        self,
        record: ExchangeRecord,
        attempts: Sequence[AttemptRecord],
        done: Done | None = None,
    ) -> None:
        """Queue the guarded close of an exchange and its attempts; it is kept until written."""
        rows = tuple([ATTEMPTS.row(attempt) for attempt in attempts])
        rejected = record.status == Status.REJECTED
        self._writer.submit(Close(REQUESTS.row(record), rows, done, rejected))

    def insert(self, record: ExchangeRecord, done: Done | None = None) -> None:
        """Queue the row of a rejected request."""
        self._writer.submit(Insert(REQUESTS.row(record), done))

    def maintain(
        self, name: str, run: Callable[[sqlite3.Connection], None], done: Done | None = None
    ) -> None:
        """Have `run` done on the writer's thread, between two commits (see Maintain).

        Its failure is counted and told to `done`, and harms nothing else; so does a ledger that
        cannot be written. Nothing is tried again: who schedules it comes back.
        """
        self._writer.submit(Maintain(name, run, done))

    def stop(self, timeout: float) -> None:
        """Commit what is queued, close the file and let it go; blocks for at most about `timeout`.

        Not for a loop's thread while streams run. What a failed disk kept from being written is
        left in `stats().kept`; its rows are found open, and closed, by the next start.
        """
        if self._writer.stop(timeout):
            self._lock.release()  # Else it may still write; the lock goes with the process.


def _locked(path: Path, owner: str) -> LedgerLock:
    """Lock, also where another has the ledger for a moment."""
    until = time.monotonic() + _LOCK_SECONDS
    while True:
        try:
            return LedgerLock(path, owner=owner)
        except LedgerLocked:
            if time.monotonic() >= until:
                raise
            time.sleep(_LOOK_SECONDS)  # a file has no event to wait for
