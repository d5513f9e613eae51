"""What a sink is: somewhere that finished records go, and that can harm nobody by failing."""

from __future__ import annotations

from typing import Protocol

from streamgauge.core.record import ExchangeRecord

__all__ = ["Sink"]


class Sink(Protocol):
    """Takes each record once, after its exchange has ended."""

    def started(self, record: ExchangeRecord) -> None:
        """An exchange began."""

    def write(self, record: ExchangeRecord) -> None:
        """An exchange ended. Must return at once."""
