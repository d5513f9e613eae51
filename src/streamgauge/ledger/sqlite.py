"""The default ledger: one SQLite file, one writer thread. Knows nothing of streams."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from streamgauge.core.record import AttemptRecord, ExchangeRecord, Status
from streamgauge.ledger.base import Done, LedgerStats, Post
from streamgauge.ledger.lock import LedgerLock
from streamgauge.ledger.operations import AddAttempt, Begin, Close, Insert
from streamgauge.ledger.recovery import close_left_open
from streamgauge.ledger.rows import ATTEMPTS, REQUESTS
from streamgauge.ledger.schema import open_for_writing, opening
from streamgauge.ledger.store import SqliteStore
from streamgauge.ledger.writer import Writer

__all__ = ["SqliteLedger"]


class SqliteLedger:
    """The books in `path`, held by this gateway alone from construction to `stop` (SPEC §8.2).

    Construction locks, checks and migrates the file, and closes what dead gateways left in flight;
    it raises LedgerOpenError's kinds. `owner` is this start's id, `now_us` the wall clock in µs,
    `post` runs a call on the owner's thread. `busy_seconds`: how long a begin waits for a lock
    that another process holds on the database. `max_page_count` caps the file, for tests.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        owner: str,
        now_us: Callable[[], int],
        post: Post,
        busy_seconds: float = 5.0,
        max_page_count: int | None = None,
    ) -> None:
        self._path = Path(path)
        self._lock = LedgerLock(self._path, owner=owner)
        with ExitStack() as undo:
            undo.callback(self._lock.release)
            connection = open_for_writing(self._path, max_page_count=max_page_count)
            undo.callback(connection.close)
            with opening(self._path):
                self._recovered = close_left_open(connection, now_us())
            undo.pop_all()
        store = SqliteStore(connection, self._path, busy_ms=round(busy_seconds * 1000))
        self._writer = Writer(store, post)

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
        """False from a failed commit until one succeeds."""
        return self._writer.reason is None

    def reason(self) -> str | None:
        """Say why the ledger is not healthy, or None."""
        return self._writer.reason

    def stats(self) -> LedgerStats:
        """Return the counts."""
        return self._writer.stats()

    def begin(self, record: ExchangeRecord, attempt: AttemptRecord, done: Done) -> None:
        """Queue both rows of an exchange that is about to call its first upstream."""
        self._writer.submit(Begin(REQUESTS.row(record), ATTEMPTS.row(attempt), done))

    def attempt(self, attempt: AttemptRecord, done: Done) -> None:
        """Queue the row of a later attempt."""
        self._writer.submit(AddAttempt(ATTEMPTS.row(attempt), done))

    def close(self, record: ExchangeRecord, attempts: Sequence[AttemptRecord], done: Done) -> None:
        """Queue the guarded close of an exchange and its attempts; it is kept until written."""
        rows = tuple(ATTEMPTS.row(attempt) for attempt in attempts)
        rejected = record.status == Status.REJECTED
        self._writer.submit(Close(REQUESTS.row(record), rows, done, rejected))

    def insert(self, record: ExchangeRecord, done: Done | None = None) -> None:
        """Queue the row of a rejected request."""
        self._writer.submit(Insert(REQUESTS.row(record), done))

    def stop(self, timeout: float) -> None:
        """Commit what is queued, close the file and let it go; blocks for at most about `timeout`.

        Not for a loop's thread while streams run. What a failed disk kept from being written is
        left in `stats().kept`; its rows are found open, and closed, by the next start.
        """
        if self._writer.stop(timeout):
            self._lock.release()  # Else it may still write; the lock goes with the process.
