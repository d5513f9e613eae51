"""A small ledger for the verbs that read one."""

from __future__ import annotations

import sys
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from streamgauge.core.pricing import Price
from streamgauge.core.record import (
    AttemptRecord,
    Delivered,
    Disposition,
    ExchangeRecord,
    Status,
)
from streamgauge.ledger.base import LedgerError
from streamgauge.ledger.sqlite import SqliteLedger

NOW = 1_760_000_000_000_000

SRC = Path(__file__).parents[2] / "src"
RUN = (sys.executable, "-c", "from streamgauge.cli.main import main; main()")
ENVIRONMENT = {"PYTHONPATH": str(SRC), "PATH": "/usr/bin:/bin", "TZ": "UTC"}

PRICE = Price(
    source="config",
    currency="EUR",
    input=2_000_000_000,
    output=8_000_000_000,
    cache_read=500_000_000,
    fee=1_000_000,
    upstream="sim",
    model="gemma*",
)
COST = 1_000_000 + (1000 - 400) * 2000 + 400 * 500 + 100 * 8000


def an_exchange(id: str, age: int = 0, **values: Any) -> ExchangeRecord:
    """Return a completed record begun `age` seconds before NOW."""
    start = NOW - age * 1_000_000
    plain: dict[str, Any] = {
        "owner": "boot-1",
        "started_at": start,
        "finished_at": start + 1_500_000,
        "dialect": "openai",
        "endpoint": "/v1/chat/completions",
        "streaming": True,
        "requested_model": "gemma",
        "upstream": "sim",
        "upstream_model": "gemma-3",
        "status": Status.COMPLETED,
        "success": True,
        "finish_reason": "stop",
        "delivered": Delivered.ALL,
        "disposition": Disposition.READ_TO_END,
        "input_tokens": 1000,
        "output_tokens": 100,
        "cache_read_tokens": 400,
        "usage_source": "provider",
        "input_source": "provider",
        "generation_tps": 52.04,
        "cost_nano": COST,
        "currency": "EUR",
        "cost_source": "config",
        "price": PRICE.as_json(),
        "latency_ms": 9.0,
        "first_byte_ms": 30.0,
        "ttft_ms": 41.5,
        "stream_duration_ms": 1400.0,
        "attempts": 1,
    }
    return ExchangeRecord(id=id, **{**plain, **values})


def an_attempt(record: ExchangeRecord, n: int = 1, **values: Any) -> AttemptRecord:
    """Return the attempt that served `record`."""
    plain: dict[str, Any] = {
        "upstream": "sim",
        "dialect": "openai",
        "started_at": record.started_at + 1_000,
        "finished_at": record.finished_at,
        "http_status": 200,
        "outcome": record.status.value,
        "may_have_been_billed": True,
    }
    return AttemptRecord(request_id=record.id, n=n, **{**plain, **values})


def write(path: Path, *exchanges: tuple[ExchangeRecord, list[AttemptRecord]]) -> None:
    """Write closed exchanges, and open ones whose status is in flight, to a ledger at `path`."""
    posted: SimpleQueue[Any] = SimpleQueue()
    errors: list[LedgerError | None] = []
    ledger = SqliteLedger(path, owner="boot-1", now_us=lambda: NOW, post=posted.put)
    for record, attempts in exchanges:
        ledger.close(record, attempts, errors.append)
    ledger.stop(20)
    while len(errors) < len(exchanges):
        posted.get(timeout=20)()
    assert set(errors) <= {None}
