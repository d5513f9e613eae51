"""A ledger that tells which row is on disk, around any other. Stores nothing itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from streamgauge.core.record import AttemptRecord, ExchangeRecord
from streamgauge.ledger.base import Done, Ledger, LedgerError
from streamgauge.ledger.passing import PassingLedger

__all__ = ["ToldLedger"]


class ToldLedger(PassingLedger):
    """Passes everything on to `ledger`; tells `closed` the id of each row once it is committed."""

    def __init__(self, ledger: Ledger, closed: Callable[[str], None]) -> None:
        super().__init__(ledger)
        self._closed = closed

    def close(
        self,
        record: ExchangeRecord,
        attempts: Sequence[AttemptRecord],
        done: Done | None = None,
    ) -> None:
        """Close the row, then tell."""
        super().close(record, attempts, self._telling(record.id, done))

    def insert(self, record: ExchangeRecord, done: Done | None = None) -> None:
        """Write a rejected row, then tell."""
        super().insert(record, self._telling(record.id, done))

    def _telling(self, id: str, done: Done | None) -> Done:
        def committed(error: LedgerError | None) -> None:
            if done is not None:
                done(error)
            if error is None:
                self._closed(id)

        return committed
