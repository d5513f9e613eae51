"""What a gateway is built of: its configuration, its books, its clocks. It builds nothing itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from streamgauge.config.prices import PriceBook
from streamgauge.config.schema import Config
from streamgauge.gateway.stream_log import NO_LOG, StreamLog
from streamgauge.ledger.base import Ledger
from streamgauge.sinks.base import Sink

__all__ = ["ClosedRow", "Wiring", "no_row"]

ClosedRow = Callable[[str], Mapping[str, Any] | None]
"""Returns the closed row with an id, under SPEC §8.3's names, or None. Raises LedgerError."""


def no_row(request_id: str) -> Mapping[str, Any] | None:
    """Know no row: for a gateway whose books nobody reads."""
    return None


@dataclass(frozen=True, slots=True)
class Wiring:
    """What the command line puts together for a gateway. `boot_id` is the rows' `owner`.

    `insecure_no_auth`: a listener beyond loopback is no reason to ask for keys. `closed_row` looks
    an exchange that has ended up in the ledger; it may block, so a thread of its own asks it.
    """

    config: Config
    config_version: str
    ledger: Ledger
    sinks: Sequence[Sink]
    prices: PriceBook
    boot_id: str
    now_us: Callable[[], int]
    insecure_no_auth: bool = False
    closed_row: ClosedRow = no_row
    stream_log: StreamLog = NO_LOG
