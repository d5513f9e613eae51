"""A ledger to roll up, with a plain oracle beside it: every closed row, added up in Python."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from streamgauge.core.record import ExchangeRecord
from streamgauge.ledger import rollup, rollup_fill
from streamgauge.ledger.rollup_check import Difference, differences
from streamgauge.ledger.rollup_sums import Cost, Tokens, UsageSum


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Commit what is done within."""
    connection.execute("BEGIN IMMEDIATE")
    yield
    connection.execute("COMMIT")


def roll_up(connection: sqlite3.Connection, limit: int = 500) -> None:
    """Bring the roll-ups up to date."""
    more = True
    while more:
        with transaction(connection):
            more = rollup_fill.catch_up(connection, limit)


def found_differences(connection: sqlite3.Connection) -> list[Difference]:
    """Return what the check finds."""
    with transaction(connection):
        return list(differences(connection))


def model_of(record: ExchangeRecord) -> str | None:
    """Return the model as the log line names it."""
    return record.response_model or record.upstream_model or record.requested_model


def tokens_by_hand(records: Iterable[ExchangeRecord], column: str, source: str) -> Tokens:
    """Add one count up."""
    exact = estimated = None
    unknown = 0
    for record in records:
        count = getattr(record, column)
        if count is None:
            unknown += 1
        elif getattr(record, source) == "provider":
            exact = count if exact is None else exact + count
        else:
            estimated = count if estimated is None else estimated + count
    return Tokens(exact, estimated, unknown)


def costs_by_hand(records: Iterable[ExchangeRecord]) -> dict[str, Cost]:
    """Add costs up by currency, those of two exact counts apart."""
    exact: Counter[str] = Counter()
    estimated: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    for record in records:
        if record.cost_nano is not None and record.currency is not None:
            counts[record.currency] += 1
            both = record.usage_source == record.input_source == "provider"
            (exact if both else estimated)[record.currency] += record.cost_nano
    # A Counter's `get` is that of a dict: None where nothing was added.
    return {name: Cost(exact.get(name), estimated.get(name), counts[name]) for name in counts}


def assert_equal_by_hand(told: UsageSum, records: list[ExchangeRecord]) -> None:
    """See that every sum of `told` is that of `records`."""
    assert told.exchanges == len(records)
    assert told.successes == sum(record.success is True for record in records)
    assert told.failures == sum(record.success is False for record in records)
    assert told.input == tokens_by_hand(records, "input_tokens", "input_source")
    assert told.output == tokens_by_hand(records, "output_tokens", "usage_source")
    assert told.cache_read == tokens_by_hand(records, "cache_read_tokens", "input_source")
    assert told.cache_write == tokens_by_hand(records, "cache_write_tokens", "input_source")
    assert told.reasoning == tokens_by_hand(records, "reasoning_tokens", "usage_source")
    assert told.unpriced == sum(record.cost_nano is None for record in records)
    assert told.costs == costs_by_hand(records)


def usage_by(connection: sqlite3.Connection, *by: Any) -> dict[tuple[Any, ...], UsageSum]:
    """Return the sums by their group's values."""
    return {tuple(each.group.values()): each for each in rollup.usage(connection, by=by)}
