"""What keys have spent this month, by day: from rows, from roll-ups, and after old rows are gone."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from streamgauge.core.limit_terms import Spent
from streamgauge.core.price import Money
from streamgauge.core.record import ExchangeRecord, Status
from streamgauge.ledger.base import LedgerMissing
from streamgauge.ledger.spent import spent_this_month
from streamgauge.ledger.sqlite import SqliteLedger


def at(*when: int) -> int:
    return int(datetime(*when, tzinfo=UTC).timestamp()) * 1_000_000  # type: ignore[arg-type]


MAY_1, MAY_9 = at(2026, 5, 1), at(2026, 5, 9)
NOW = at(2026, 5, 9, 13)


def write(path: Path, *rows: ExchangeRecord) -> None:
    ledger = SqliteLedger(
        path, owner="boot", now_us=lambda: NOW, post=lambda call: call(), spool_bytes=1 << 18
    )
    for row in rows:
        ledger.insert(row)
    ledger.stop(5.0)


def row(number: int, finished: int, key: str | None, **columns: object) -> ExchangeRecord:
    made = ExchangeRecord(
        f"exchange-number-{number:04}", "boot", finished - 1, finished, key_id=key, **columns
    )  # type: ignore[arg-type]
    made.status = Status.COMPLETED
    return made


def test_the_sums_are_by_key_day_and_currency_and_unknown_costs_are_in_none(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    usd = {"currency": "USD", "usage_source": "provider", "input_source": "provider"}
    write(
        path,
        row(1, MAY_1 - 1, "one", cost_nano=1, **usd),  # the last moment of April
        row(2, MAY_1, "one", cost_nano=2, **usd),
        row(3, MAY_9, "one", cost_nano=4, **usd),
        row(4, MAY_9 + 1, "one", cost_nano=8, currency="USD", usage_source="counted"),
        row(5, MAY_9 + 2, "one", cost_nano=16, currency="EUR"),
        row(6, MAY_9 + 3, "one"),
        row(7, MAY_9 + 4, "two", cost_nano=32, **usd),
        row(8, MAY_9 + 5, None, cost_nano=64, **usd),
    )
    assert sorted(spent_this_month(path, NOW), key=str) == sorted(
        [
            Spent("one", MAY_1, Money(2, "USD")),
            Spent("one", MAY_9, Money(12, "USD")),
            Spent("one", MAY_9, Money(16, "EUR")),
            Spent("two", MAY_9, Money(32, "USD")),
        ],
        key=str,
    )


def test_a_ledger_that_is_not_there_is_no_ledger_without_rows(tmp_path: Path) -> None:
    with pytest.raises(LedgerMissing):
        spent_this_month(tmp_path / "ledger.db", NOW)
