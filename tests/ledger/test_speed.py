"""The bench's figures are 2 000 exchanges/s and a commit lag of 10 ms; five times as bad fails."""

from __future__ import annotations

import time
from statistics import median

from streamgauge.ledger.sqlite import SqliteLedger

from .ledger_rig import Owner, a_record, an_attempt, closed

EXCHANGES = 1_500


def test_exchanges_a_second(ledger: SqliteLedger, owner: Owner) -> None:
    start = time.perf_counter()
    for i in range(EXCHANGES):
        record, attempt = a_record(f"r{i}", upstream="sim"), an_attempt(f"r{i}")
        ledger.begin(record, attempt, owner.done(f"b{i}"))
        ledger.close(closed(record, input_tokens=12), [attempt], owner.done(f"c{i}"))
    owner.wait(*(f"c{i}" for i in range(EXCHANGES)))
    rate = EXCHANGES / (time.perf_counter() - start)
    assert rate >= 2_000 / 5, f"{rate:.0f} exchanges/s"


def test_commit_lag(ledger: SqliteLedger, owner: Owner) -> None:
    lags = []
    for i in range(100):
        start = time.perf_counter()
        ledger.begin(a_record(f"r{i}"), an_attempt(f"r{i}"), owner.done(f"r{i}"))
        owner.wait(f"r{i}")
        lags.append((time.perf_counter() - start) * 1000)
    assert median(lags) <= 5 * 10, f"p50 {median(lags):.1f} ms"
