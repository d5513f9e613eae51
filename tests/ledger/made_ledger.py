"""A ledger of any size with rows of every kind, the same ones for the same seed."""

from __future__ import annotations

import json
import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from streamgauge.core.record import AttemptRecord, ExchangeRecord, Status
from streamgauge.ledger.rows import ATTEMPTS, REQUESTS, RowShape
from streamgauge.ledger.schema import open_for_writing

HOUR = 3_600_000_000
START = 1_760_000_400_000_000 // HOUR * HOUR

_ENDINGS = [Status.COMPLETED] * 90 + [each for each in Status if each is not Status.IN_FLIGHT]
_SOURCES = ["provider"] * 12 + ["timings", "running", "counted", "none", None]
_PLACES = [("local", "qwen3", None), ("openai", "gpt-5", "USD"), ("anthropic", "claude-4", "USD"),
           ("router", "llama-4", "sat"), (None, None, None)]  # fmt: skip
_APPS = ["claude-cli/2.1", "opencode/1.0", "OpenAI/Python 1.99", None]


def exchanges(
    rows: int, seed: int = 0, days: float = 30, wild: float = 1.0
) -> Iterator[ExchangeRecord]:
    """Yield closed records in the order of their start, spread over `days` from START.

    `wild`: how many of them combine anything with anything; the others are those of a few
    clients that mostly succeed.
    """
    dice = random.Random(seed)
    step = int(days * 24 * HOUR / rows)
    for i in range(rows):
        record = an_exchange(dice, f"{seed:04x}{i:012x}", START + i * step)
        if dice.random() >= wild:
            _tame(record, dice.randrange(12))
        yield record


def an_exchange(dice: random.Random, id: str, started_at: int) -> ExchangeRecord:
    """Return a closed record, anything in it unknown at times."""
    status = dice.choice(_ENDINGS)
    upstream, model, currency = dice.choice(_PLACES)
    source, input_source = dice.choice(_SOURCES), dice.choice(_SOURCES)
    took = dice.lognormvariate(8, 1.5)
    priced = currency is not None and dice.random() < 0.9
    cached = dice.choice([None, dice.randrange(500)])
    return ExchangeRecord(
        id=id,
        owner="boot-1",
        started_at=started_at,
        finished_at=started_at + round(took * 1000),
        session_id=dice.choice([None, f"session-{dice.randrange(20_000)}"]),
        key_id=dice.choice([None, "key-a", "key-b"]),
        client_app=dice.choice(_APPS),
        dialect=dice.choice(["openai", "anthropic"]),
        endpoint="chat/completions",
        streaming=dice.random() < 0.9,
        requested_model=model,
        upstream=upstream,
        upstream_model=model,
        response_model=dice.choice([model, None]),
        status=status,
        success=status is Status.COMPLETED,
        input_tokens=_tokens(dice, input_source),
        output_tokens=_tokens(dice, source),
        cache_read_tokens=cached,
        usage_source=source,
        input_source=input_source,
        cost_nano=dice.randrange(10**12) if priced else None,
        currency=currency if priced else None,
        price=json.dumps({"currency": currency, "input": 2_000_000_000}) if priced else None,
        ttft_ms=dice.choice([None, round(took / 5, 3)]),
        stream_duration_ms=round(took, 3),
        frames_out=dice.randrange(500),
        anomalies=["second_marker"] if dice.random() < 0.01 else [],
        attempts=1,
        config_version="0123456789abcdef",
    )


def _tame(record: ExchangeRecord, client: int) -> None:
    """Make `record` one that succeeded, of one of twelve clients with their habits."""
    upstream, model, currency = _PLACES[client % 4]
    record.upstream, record.upstream_model, record.requested_model = upstream, model, model
    record.response_model, record.dialect = model, ["openai", "anthropic"][client % 2]
    record.key_id, record.client_app = ["key-a", "key-b", None][client % 3], _APPS[client % 4]
    record.status, record.success = Status.COMPLETED, True
    record.usage_source = record.input_source = "provider"
    record.input_tokens, record.output_tokens = 1000 + client, 100 + client
    record.currency, record.cost_nano = currency, client * 10**6 if currency else None


def _tokens(dice: random.Random, source: str | None) -> int | None:
    return None if source in ("none", None) else dice.randrange(5_000)


def make(path: Path, rows: int, seed: int = 0, days: float = 30, wild: float = 1.0) -> None:
    """Write a ledger of the newest schema with `rows` closed rows and an attempt for each."""
    with closing(open_for_writing(path)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        add(connection, exchanges(rows, seed, days, wild))


def add(connection: sqlite3.Connection, records: Iterator[ExchangeRecord]) -> None:
    """Write `records`, each with an attempt, in one transaction."""
    request, attempt = _insert("requests", REQUESTS), _insert("attempts", ATTEMPTS)
    connection.execute("BEGIN IMMEDIATE")
    for record in records:
        connection.execute(request, REQUESTS.row(record))
        connection.execute(attempt, ATTEMPTS.row(_attempt_of(record)))
    connection.execute("COMMIT")


def _attempt_of(record: ExchangeRecord) -> AttemptRecord:
    return AttemptRecord(record.id, 1, record.upstream or "none", "openai", outcome="completed")


def _insert(table: str, shape: RowShape) -> str:
    return f"INSERT INTO {table} VALUES ({', '.join('?' * len(shape.names))})"


def one(connection: sqlite3.Connection, query: str) -> Any:
    """Return the only value that `query` finds."""
    return connection.execute(query).fetchone()[0]
