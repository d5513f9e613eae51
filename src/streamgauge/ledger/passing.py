"""A ledger around another, for those who add to what passes. Stores nothing itself."""

from __future__ import annotations

from collections.abc import Sequence

from streamgauge.core.record import AttemptRecord, ExchangeRecord
from streamgauge.ledger.base import Done, Ledger, LedgerStats

__all__ = ["PassingLedger"]


class PassingLedger:
    """Implements Ledger by handing everything on to `inner`."""

    __slots__ = ("_inner",)

    def __init__(self, inner: Ledger) -> None:
        self._inner = inner

    def begin(self, record: ExchangeRecord, attempt: AttemptRecord, done: Done) -> None:
        """As `Ledger.begin`."""
        self._inner.begin(record, attempt, done)

    def attempt(
        self, attempt: AttemptRecord, done: Done, over: AttemptRecord | None = None
    ) -> None:
        """As `Ledger.attempt`."""
        self._inner.attempt(attempt, done, over)

    def close(
        self,
        record: ExchangeRecord,
        attempts: Sequence[AttemptRecord],
        done: Done | None = None,
    ) -> None:
        """As `Ledger.close`."""
        self._inner.close(record, attempts, done)

    def insert(self, record: ExchangeRecord, done: Done | None = None) -> None:
        """As `Ledger.insert`."""
        self._inner.insert(record, done)

    @property
    def healthy(self) -> bool:
        """As `Ledger.healthy`."""
        return self._inner.healthy

    def reason(self) -> str | None:
        """As `Ledger.reason`."""
        return self._inner.reason()

    def stats(self) -> LedgerStats:
        """As `Ledger.stats`."""
        return self._inner.stats()

    def stop(self, timeout: float) -> None:
        """As `Ledger.stop`."""
        self._inner.stop(timeout)
