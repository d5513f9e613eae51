"""What a ledger does for those who write to it, and how it fails. Knows no database."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from streamgauge.core.record import AttemptRecord, ExchangeRecord

__all__ = [
    "Done",
    "Ledger",
    "LedgerCorrupt",
    "LedgerDamaged",
    "LedgerError",
    "LedgerForeign",
    "LedgerLocked",
    "LedgerMissing",
    "LedgerOpenError",
    "LedgerReadOnly",
    "LedgerStats",
    "LedgerUnavailable",
    "LedgerUnreadable",
    "Notice",
    "Post",
    "RowRefused",
]


class LedgerError(Exception):
    """Any failure of the ledger. The message names the cause and, where there is one, the cure."""


class LedgerUnavailable(LedgerError):
    """Nothing can be committed now (disk full, locked, stopped): 503 before any upstream call."""


class LedgerDamaged(LedgerUnavailable):
    """Damage was found while the gateway ran: nothing more is written to this file (FAULTS F13)."""


class RowRefused(LedgerError):
    """This one record cannot be stored (a number beyond 64 bits, an id already there)."""


class LedgerOpenError(LedgerError):
    """The ledger cannot be opened: a gateway does not start (exit 4), a reader exits 1."""


class LedgerLocked(LedgerOpenError):
    """Another gateway writes to this ledger (FAULTS F53)."""


class LedgerReadOnly(LedgerOpenError):
    """The file or its directory cannot be written (FAULTS F11)."""


class LedgerUnreadable(LedgerOpenError):
    """This user may not read the file, or not even look for it."""


class LedgerCorrupt(LedgerOpenError):
    """The file is damaged or no SQLite database (FAULTS F13). It is left as it was found."""


class LedgerForeign(LedgerOpenError):
    """The file is another program's database, or a newer streamgauge's ledger."""


class LedgerMissing(LedgerOpenError):
    """There is no ledger to read at this place."""


Done = Callable[[LedgerError | None], None]
"""Told once that an operation is committed (None) or why it is not, through the ledger's `Post`."""

Post = Callable[[Callable[[], None]], None]
"""Runs a call on the owner's thread, such as `loop.call_soon_threadsafe`."""


Notice = Callable[[str, str, list[tuple[str, str]]], None]
"""Takes a log line, as level, event and fields, on the owner's thread."""


@dataclass(frozen=True, slots=True)
class LedgerStats:
    """Counts since the start, and of now. A figure may be one commit old.

    `queued`: operations not yet committed, `kept` among them waiting for a failed disk to return.
    `rows`: rows inserted or updated. `failures`: commits that failed. `refused`: records that
    could not be stored. `double_closes`: closes of a row that was closed before. `lost_inserts`:
    requests rejected before any upstream call and not written, too many of them waiting already.
    `turned_away`: begins refused because the queue was full; `waited`: closes that found it so.
    `spool_bytes`: what the spool holds now. `spooled`: operations committed in it; `replayed`:
    operations brought from it into the database, those of the start included.
    `maintained`, `maintenance_failures`: pieces of maintenance that were done, and that failed.
    """

    queued: int
    kept: int
    commits: int
    rows: int
    failures: int
    refused: int
    double_closes: int
    lost_inserts: int
    turned_away: int
    waited: int
    spool_bytes: int
    spooled: int
    replayed: int
    maintained: int
    maintenance_failures: int


class Ledger(Protocol):
    """The books of one gateway (SPEC §8). No call waits for a disk; records are copied by it.

    Each `begin` is followed by one `close`, also when it failed.
    """

    def begin(self, record: ExchangeRecord, attempt: AttemptRecord, done: Done) -> None:
        """Write both rows in one transaction; `done(None)` means that they survive a crash.

        They are in the database, or in the spool until it takes them (SPEC §8.1).
        """

    def attempt(
        self, attempt: AttemptRecord, done: Done, over: AttemptRecord | None = None
    ) -> None:
        """Write the row of a later attempt, and that of the one before, which is `over`.

        A crash would lose how that one ended: nothing else is written before the close.
        """

    def close(
        self,
        record: ExchangeRecord,
        attempts: Sequence[AttemptRecord],
        done: Done | None = None,
    ) -> None:
        """Close the row if it is in flight, and its attempts with it; else change nothing.

        A close is never given up: while nothing can be committed it is kept and tried again.
        A row whose begin was not committed is written now, closed.
        """

    def insert(self, record: ExchangeRecord, done: Done | None = None) -> None:
        """Write the row of a rejected request at once, closed."""

    @property
    def healthy(self) -> bool:
        """Whether a begin can be committed now, in the database or in the spool."""

    def reason(self) -> str | None:
        """Say why the database cannot be written, also while the spool takes its part, or None."""

    def stats(self) -> LedgerStats:
        """Return the counts."""

    def stop(self, timeout: float) -> None:
        """Commit what is queued, then let the ledger go; blocks for at most `timeout` seconds.

        What could not be written stays visible in `stats().kept` and `reason()`.
        """
