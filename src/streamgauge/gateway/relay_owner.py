"""What a relay asks of whoever it belongs to. It drives nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from streamgauge.core.exchange import Exchange
from streamgauge.core.record import ExchangeRecord
from streamgauge.gateway.http import UpstreamCall, UpstreamEvents
from streamgauge.gateway.timers import Timer
from streamgauge.gateway.upstreams import UpstreamRuntime
from streamgauge.ledger.base import Ledger

__all__ = ["RelayOwner"]


class RelayOwner(Protocol):
    """The server, or what stands before it."""

    @property
    def ledger(self) -> Ledger:
        """The books."""

    def open_upstream(self, upstream: UpstreamRuntime, events: UpstreamEvents) -> UpstreamCall:
        """Begin a call that tells `events`."""

    def call_later(self, delay: float, call: Callable[[], None]) -> Timer:
        """Run `call` in `delay` seconds, unless the handle is cancelled before."""

    def relay_ended(self, exchange: Exchange, record: ExchangeRecord) -> None:
        """The exchange is over and its row is on its way to the ledger."""
