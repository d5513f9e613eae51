"""What each key has spent this month, by day, from the roll-ups. Knows no limit."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from streamgauge.core.limit_terms import Spent
from streamgauge.core.price import Money
from streamgauge.ledger.reader import LedgerReader
from streamgauge.ledger.rollup import By, Hours, usage

__all__ = ["spent_this_month"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_BY: tuple[By, ...] = ("day", "key_id")


def spent_this_month(path: Path | str, now_us: int) -> list[Spent]:
    """Return what keys have spent since the begin of the month (UTC) that `now_us` lies in.

    Exact and estimated costs alike; calls without a cost, those that a crash ended among them,
    are in no sum. Raises LedgerOpenError.
    """
    with LedgerReader(path) as reader, reader.snapshot() as connection:
        sums = usage(connection, Hours(since=_month_of(now_us)), by=_BY)
    spent = []
    for each in sums:
        key_id, day = each.group["key_id"], each.group["day"]
        if isinstance(key_id, str) and isinstance(day, int):
            for currency, cost in each.costs.items():
                nano = sum(part for part in (cost.exact, cost.estimated) if part is not None)
                spent.append(Spent(key_id, day, Money(nano, currency)))
    return spent


def _month_of(now_us: int) -> int:
    today = _EPOCH + timedelta(microseconds=now_us)
    begin = today.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return (begin - _EPOCH) // timedelta(microseconds=1)
