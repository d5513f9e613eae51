"""Operations as SQLite transactions. Knows no thread, no queue and no failure policy."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import assert_never

from streamgauge.ledger.base import LedgerDamaged, LedgerUnavailable, RowRefused
from streamgauge.ledger.operations import (
    AddAttempt,
    Begin,
    Close,
    Committed,
    Insert,
    Operation,
    id_of,
)
from streamgauge.ledger.rows import ATTEMPTS, REQUESTS, Row
from streamgauge.ledger.schema import DAMAGE_CODES
from streamgauge.ledger.statements import RowStatement

__all__ = ["SqliteStore"]

_ROW_FAULTS = (
    sqlite3.IntegrityError,
    sqlite3.DataError,
    sqlite3.InterfaceError,
    sqlite3.ProgrammingError,
    OverflowError,
    TypeError,
    ValueError,
)
"""One record's fault: a type or a size that the table refuses, an id that is there already."""

_IMPATIENT_MS = 25
"""How long a repetition waits for a lock: a begin may be behind it, and it will come again."""

_LOG_BYTES, _IDLE_LOG_BYTES = 16 << 20, 6 << 20
"""How long the write-ahead log may grow before it is cut: SQLite's own checkpoint, each 4 MB,
never starts the log anew while readers overlap. When nobody waits it is cut sooner."""

_CUT_MS = 50
"""How long a cut waits for readers to get out of the log: begins wait behind it."""

_CUT_AGAIN_BYTES = 8 << 20
"""How much more log makes it worth to wait again, after readers were in the way."""

_KEPT = ("id", "owner", "started_at")
"""What a close leaves as its begin wrote it."""


def _set(names: Sequence[str]) -> str:
    return ", ".join(f"{name} = excluded.{name}" for name in names)


# The row of an exchange whose begin failed or was not awaited is written with the close: without
# this the exchange would be lost. So is an attempt whose own row could not be written in time.
_CLOSE_REQUEST = (
    f"ON CONFLICT (id) DO UPDATE SET {_set(REQUESTS.names[len(_KEPT) :])} "
    "WHERE requests.status = 'in_flight'"
)
_CLOSE_ATTEMPT = f"ON CONFLICT (request_id, n) DO UPDATE SET {_set(ATTEMPTS.names[2:])}"
# A call that never was has none; its begin may have been committed all the same, too late.
_NO_ATTEMPT = "DELETE FROM attempts WHERE request_id = ?"
# What comes again from the spool, or after a commit of unknown outcome, may be there already.
_ONCE = "ON CONFLICT DO NOTHING"
_PROBE = (
    "CREATE TABLE space_probe (filler)",
    "INSERT INTO space_probe VALUES (zeroblob(16384))",
    "DROP TABLE space_probe",
    "COMMIT",
)


class _ClosedBefore(Exception):
    """One of several closes found its row closed: which one is not known."""


class SqliteStore:
    """One connection, and each group of operations as one `BEGIN IMMEDIATE` transaction.

    Immediate: a deferred one that turns into a writer late fails at once when another writes.
    """

    def __init__(self, connection: sqlite3.Connection, path: Path, *, busy_ms: int) -> None:
        self._connection = connection
        self._path = path
        self._real = path.resolve()
        self._log = self._real.with_name(self._real.name + "-wal")
        self._file = _identity(self._real)
        self._busy_ms = busy_ms
        self._wait_ms: int | None = None
        self._damage: LedgerDamaged | None = None
        self._cut_above = _LOG_BYTES
        self._insert_request = RowStatement("requests", REQUESTS)
        self._insert_attempt = RowStatement("attempts", ATTEMPTS)
        self._insert_request_once = RowStatement("requests", REQUESTS, _ONCE)
        self._insert_attempt_once = RowStatement("attempts", ATTEMPTS, _ONCE)
        self._close_request = RowStatement("requests", REQUESTS, _CLOSE_REQUEST)
        self._close_attempt = RowStatement("attempts", ATTEMPTS, _CLOSE_ATTEMPT)
        self._again = False
        self._rows = 0
        self._double_closes = 0

    def commit(
        self, operations: Sequence[Operation], *, patient: bool, again: bool = False
    ) -> Committed:
        """Commit as `Store.commit` says; one bad record costs its neighbours only a repetition."""
        self._again = again
        with self._translating():
            self._wait_for_locks(self._busy_ms if patient else _IMPATIENT_MS)
            try:
                return self._together(operations)
            except (*_ROW_FAULTS, _ClosedBefore):
                return self._one_by_one(operations)

    def maintain(self, run: Callable[[sqlite3.Connection], None]) -> None:
        """Do `run` in a transaction of its own. Raises what it raises, or LedgerUnavailable."""
        with self._translating():
            self._wait_for_locks(_IMPATIENT_MS)
            self._start()
            run(self._connection)
            self._connection.execute("COMMIT")

    def probe(self) -> None:
        """Write and free some pages: an empty transaction succeeds on a full disk too."""
        with self._translating():
            self._wait_for_locks(_IMPATIENT_MS)
            self._start()
            for statement in _PROBE:
                self._connection.execute(statement)

    def tidy(self, *, idle: bool) -> None:
        """Cut the write-ahead log when it is long, waiting shortly for readers to get out of it."""
        size = self._log_bytes()
        if size <= (_IDLE_LOG_BYTES if idle else self._cut_above):
            return
        self._cut_above = size + _CUT_AGAIN_BYTES
        with suppress(sqlite3.Error):  # The next commit meets the same fault, and tells it.
            self._wait_for_locks(_CUT_MS)
            (cut,) = self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            if not cut[0]:
                self._cut_above = _LOG_BYTES

    def _log_bytes(self) -> int:
        try:
            return self._log.stat().st_size
        except OSError:
            return 0  # None there, none to cut.

    @contextmanager
    def _translating(self) -> Iterator[None]:
        """Roll back what fails; say SQLite's errors as LedgerUnavailable, damage for good."""
        if self._damage is not None:
            raise self._damage
        try:
            if _identity(self._real) != self._file:
                raise LedgerUnavailable(
                    f"ledger {self._path} was moved or removed while in use: "
                    f"put it back, or restart to begin a new one"
                )
            yield
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", None)
            if code is not None and code & 0xFF in DAMAGE_CODES:
                self._damage = LedgerDamaged(
                    f"ledger {self._path} is damaged ({error}) and written no more: stop the "
                    f"gateway, save a copy, and mend it with sqlite3's .recover or move it away"
                )
                raise self._damage from error
            raise LedgerUnavailable(f"ledger {self._path}: {error}") from error
        finally:
            self._roll_back_quietly()

    def close(self) -> None:
        """Close the connection; SQLite then folds the write-ahead log into the file."""
        try:
            self._connection.close()
        except sqlite3.Error as error:
            raise LedgerUnavailable(f"ledger {self._path}: {error}") from error

    def _together(self, operations: Sequence[Operation]) -> Committed:
        self._start()
        if self._again:
            for operation in operations:
                self._apply(operation)
        else:
            self._apply_all(operations)
        self._connection.execute("COMMIT")
        return Committed((None,) * len(operations), self._rows, self._double_closes)

    def _apply_all(self, operations: Sequence[Operation]) -> None:
        """Apply each kind at once. Their order is kept where it matters: within one exchange."""
        begins = [each for each in operations if isinstance(each, Begin)]
        closes = [each for each in operations if isinstance(each, Close)]
        added = [each for each in operations if isinstance(each, AddAttempt)]
        self._write(self._insert_request, [each.request for each in begins])
        attempts = [each.attempt for each in begins] + [each.attempt for each in added]
        self._write(self._insert_attempt, attempts)
        self._write(self._close_attempt, [each.over for each in added if each.over is not None])
        if self._write(self._close_request, [each.request for each in closes]) < len(closes):
            raise _ClosedBefore
        self._close_attempts(closes)
        inserts = [each.request for each in operations if isinstance(each, Insert)]
        self._write(self._insert_request, inserts)

    def _one_by_one(self, operations: Sequence[Operation]) -> Committed:
        self._start()
        refusals = tuple(self._apply_alone(operation) for operation in operations)
        self._connection.execute("COMMIT")
        return Committed(refusals, self._rows, self._double_closes)

    def _apply_alone(self, operation: Operation) -> RowRefused | None:
        rows, double_closes = self._rows, self._double_closes
        self._connection.execute("SAVEPOINT one")
        try:
            self._apply(operation)
        except _ROW_FAULTS as error:
            self._connection.execute("ROLLBACK TO one")
            self._rows, self._double_closes = rows, double_closes
            return RowRefused(f"the record of {id_of(operation)} cannot be stored: {error}")
        finally:
            if self._connection.in_transaction:
                self._connection.execute("RELEASE one")
        return None

    def _start(self) -> None:
        self._roll_back()
        self._rows = self._double_closes = 0
        self._connection.execute("BEGIN IMMEDIATE")

    def _apply(self, operation: Operation) -> None:
        again = self._again
        insert_request = self._insert_request_once if again else self._insert_request
        insert_attempt = self._insert_attempt_once if again else self._insert_attempt
        match operation:
            case Begin(request, attempt):
                self._write(insert_request, [request])
                self._write(insert_attempt, [attempt])
            case AddAttempt(attempt, _, over):
                self._write(insert_attempt, [attempt])
                self._write(self._close_attempt, [] if over is None else [over])
            case Close():
                self._close_exchange(operation)
            case Insert(request, _):
                self._write(insert_request, [request])
            case _:
                assert_never(operation)

    def _close_exchange(self, close: Close) -> None:
        if self._write(self._close_request, [close.request]):
            self._close_attempts([close])
        else:
            self._double_closes += not self._again

    def _close_attempts(self, closes: Sequence[Close]) -> None:
        self._write(self._close_attempt, [row for each in closes for row in each.attempts])
        for close in closes:
            if close.rejected and not close.attempts:
                self._connection.execute(_NO_ATTEMPT, close.request[:1])

    def _write(self, statement: RowStatement, rows: Sequence[Row]) -> int:
        changed = statement.write(self._connection, rows)
        self._rows += changed
        return changed

    def _wait_for_locks(self, milliseconds: int) -> None:
        if milliseconds != self._wait_ms:
            self._connection.execute(f"PRAGMA busy_timeout = {milliseconds:d}")
            self._wait_ms = milliseconds

    def _roll_back(self) -> None:
        # SQLite has often rolled back by itself (disk full, I/O).
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def _roll_back_quietly(self) -> None:
        try:
            self._roll_back()
        except sqlite3.Error:
            return  # The next start of a transaction tries again, and fails with its own reason.


def _identity(path: Path) -> tuple[int, int] | None:
    """Return which file has this name now. SQLite writes on into a file that has none any more."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise LedgerUnavailable(f"ledger {path}: {error.strerror}") from error
    return found.st_dev, found.st_ino
