"""Gives a starting gateway the ratios of the ledger's last rows, while it serves (SPEC §6.8)."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

from streamgauge.gateway.ratio_sink import RatioSink
from streamgauge.ledger.base import LedgerError
from streamgauge.ledger.reader import Filter, LedgerReader

__all__ = ["ROWS_READ", "seed_ratios"]

_log = logging.getLogger(__name__)

ROWS_READ = 2000
"""Newest rows that are looked at: enough of what is used these days, and some 50 ms of a thread."""


async def seed_ratios(path: Path | str, owner: str, sink: RatioSink) -> None:
    """Let `sink` learn from the newest rows that are not `owner`'s, the running gateway's own.

    Those it is handed anyway. Without a readable ledger nothing is learnt, and nothing stops.
    """
    try:
        rows = await asyncio.to_thread(_rows, path, owner)
    except LedgerError as error:
        _log.info("no ratios are learnt from the ledger: %s", error)
        return
    sink.seed(rows)


def _rows(path: Path | str, owner: str) -> list[dict[str, Any]]:
    with LedgerReader(path) as reader:
        newest = list(reader.newest(Filter(), ROWS_READ))
    return [row for row in reversed(newest) if row["owner"] != owner]
