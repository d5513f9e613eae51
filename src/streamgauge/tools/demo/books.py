"""A ledger that tells which row is on disk, around any other. Stores nothing itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from streamgauge.core.record import AttemptRecord, ExchangeRecord
from streamgauge.ledger.base import Done, Ledger, LedgerError, LedgerStats

__all__ = ["ToldLedger"]


class ToldLedger:
    """Passes everything on to `ledger`; tells `closed` the id of each row once it is committed."""

    def __init__(self, ledger: Ledger, closed: Callable[[str], None]) -> None:
        self._ledger = ledger
        self._closed = closed

    def begin(self, record: ExchangeRecord, attempt: AttemptRecord, done: Done) -> None:
        """Write both rows."""
        self._ledger.begin(record, attempt, done)

    def attempt(self, attempt: AttemptRecord, done: Done) -> None:
        """Write the row of a later attempt."""
        self._ledger.attempt(attempt, done)

    def close(
        self,
        record: ExchangeRecord,
        attempts: Sequence[AttemptRecord],
        done: Done | None = None,
    ) -> None:
        """Close the row, then tell."""
        self._ledger.close(record, attempts, self._telling(record.id, done))

    def insert(self, record: ExchangeRecord, done: Done | None = None) -> None:
        """Write a rejected row, then tell."""
        self._ledger.insert(record, self._telling(record.id, done))

    def _telling(self, id: str, done: Done | None) -> Done:
        def committed(error: LedgerError | None) -> None:
            if done is not None:
                done(error)
            if error is None:
                self._closed(id)

        return committed

    @property
    def healthy(self) -> bool:
        """False from a failed commit until one succeeds."""
        return self._ledger.healthy

    def reason(self) -> str | None:
        """Say why the ledger is not healthy, or None."""
        return self._ledger.reason()

    def stats(self) -> LedgerStats:
        """Return the counts."""
        return self._ledger.stats()

    def stop(self, timeout: float) -> None:
        """Commit what is queued and let the ledger go."""
        self._ledger.stop(timeout)
