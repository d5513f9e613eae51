"""Sums by hour, day, model, key …: the roll-ups and what was closed after them. Never writes."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, Self, get_args

from streamgauge.ledger.rollup_sql import (
    DAY_US,
    HOUR_US,
    LATER,
    METRICS,
    TIMES,
    USAGE,
    Table,
    cost_sums,
    row_values,
    usage_sums,
)
from streamgauge.ledger.rollup_sums import (
    NOTHING,
    TimesSum,
    UsageSum,
    add_times,
    add_usage,
)

__all__ = ["By", "Hours", "Metric", "TimesBy", "times", "usage", "usage_of_rows"]

TimesBy = Literal["hour", "day", "upstream", "model", "dialect", "status"]
"""What times may be grouped by."""

By = Literal[TimesBy, "key_id", "client_app", "usage_source", "input_source", "currency"]
"""What exchanges, tokens and costs may be grouped by."""

Metric = Literal["ttft_ms", "stream_duration_ms"]

_AS_STORED = {name: name for name in (*USAGE.dimensions, *USAGE.sums)}
_OF_ROWS = row_values()

_ALWAYS, _NEVER = -(2**63), 2**63 - 1


@dataclass(frozen=True, slots=True)
class Hours:
    """Whole hours, UTC, by `finished_at`: from `since` to before `until`, in µs; None is open."""

    since: int | None = None
    until: int | None = None

    def __post_init__(self) -> None:
        if any(moment is not None and moment % HOUR_US for moment in (self.since, self.until)):
            raise ValueError("roll-ups know whole hours only: see Hours.covering")

    @classmethod
    def covering(cls, since: int | None = None, until: int | None = None) -> Self:
        """Return the hours that hold everything from `since` to before `until` (µs)."""
        return cls(
            None if since is None else since // HOUR_US * HOUR_US,
            None if until is None else -(-until // HOUR_US) * HOUR_US,
        )


def usage(
    connection: sqlite3.Connection,
    hours: Hours = Hours(),
    by: Sequence[By] = (),
) -> list[UsageSum]:
    """Return exchanges, tokens and costs for each combination of `by`, ordered by it.

    Unknown groups are None, and models beyond an hour's bound `(other)`. Raises ValueError for a
    `by` that is not a dimension.
    """
    _check(by, get_args(By))
    apart, sums, priced = cost_sums(_AS_STORED)
    with _one_instant(connection):
        rows = _grouped(connection, USAGE, hours, by, usage_sums(_AS_STORED))
        costs = _grouped(connection, USAGE, hours, (*by, *apart), sums, priced)
        found = add_usage(by, rows, costs)
    return sorted(found, key=_order)


def usage_of_rows(
    connection: sqlite3.Connection, where: str, values: Sequence[str | int]
) -> UsageSum:
    """Return the same sums of the closed rows `r` of `requests` that `where` picks, in one group.

    It reads each of them: for what no roll-up knows, and only where they are few.
    """
    source = f"FROM requests r WHERE {where} AND r.status <> 'in_flight'"
    apart, sums, priced = cost_sums(_OF_ROWS)
    of_costs = f"SELECT {', '.join([*apart, *sums])} {source} AND {priced} GROUP BY 1, 2"
    with _one_instant(connection):
        rows = connection.execute(f"SELECT {', '.join(usage_sums(_OF_ROWS))} {source}", values)
        found = add_usage((), rows, connection.execute(of_costs, values))
    return found[0] if found else NOTHING


def times(
    connection: sqlite3.Connection,
    metric: Metric,
    hours: Hours = Hours(),
    by: Sequence[TimesBy] = (),
) -> list[TimesSum]:
    """Return count, mean and histogram of `metric` for each combination of `by`, ordered by it.

    Raises ValueError for a `by` that is not a dimension, or an unknown metric.
    """
    _check(by, get_args(TimesBy))
    _check([metric], METRICS)
    sums = [f"sum({name})" for name in TIMES.sums]
    with _one_instant(connection):
        rows = _grouped(connection, TIMES, hours, ("metric", *by), sums, f"metric = '{metric}'")
        found = add_times(by, (row[1:] for row in rows))
    return sorted(found, key=_order)


def _check(names: Sequence[str], allowed: Sequence[str]) -> None:
    if wrong := [name for name in names if name not in allowed]:
        raise ValueError(f"not known to the roll-ups: {', '.join(wrong)} ({', '.join(allowed)})")


def _grouped(
    connection: sqlite3.Connection,
    table: Table,
    hours: Hours,
    keys: Sequence[str],
    sums: Sequence[str],
    only: str = "true",
) -> Iterator[tuple[Any, ...]]:
    """Yield the `sums` by `keys`, within one instant: no row is both in a roll-up and behind it.

    A group may come several times: from the days, from the hours at both ends, from later rows.
    """
    since = _ALWAYS if hours.since is None else hours.since
    until = _NEVER if hours.until is None else hours.until
    pieces = _pieces(table, since, until, by_hour="hour" in keys)
    pieces += [(f"({later})", "hour", since, until) for later in table.selects(LATER)]
    places = ", ".join(str(i + 1) for i in range(len(keys)))
    for source, span, first, end in pieces:
        names = [_key(name, span) for name in keys]
        query = (
            f"SELECT {', '.join([*names, *sums])} FROM {source} "
            f"WHERE {span} >= ? AND {span} < ? AND {only}{' GROUP BY ' if places else ''}{places}"
        )
        yield from connection.execute(query, (first, end))


def _pieces(
    table: Table, since: int, until: int, *, by_hour: bool
) -> list[tuple[str, str, int, int]]:
    """Return which table tells what: whole days by day, what is left at the ends by hour."""
    first = since if since == _ALWAYS else -(-since // DAY_US) * DAY_US
    end = until if until == _NEVER else until // DAY_US * DAY_US
    if by_hour or first >= end:
        return [(table.name, "hour", since, until)]
    pieces = [(table.daily, "day", first, end)]
    pieces += [(table.name, "hour", since, first)] if since < first else []
    return pieces + ([(table.name, "hour", end, until)] if end < until else [])


def _key(name: str, span: str) -> str:
    return f"{span} / {DAY_US} * {DAY_US}" if name == "day" else name


@contextmanager
def _one_instant(connection: sqlite3.Connection) -> Iterator[None]:
    if connection.in_transaction:
        yield
        return
    connection.execute("BEGIN")
    try:
        yield
    finally:
        connection.execute("COMMIT")


def _order(found: UsageSum | TimesSum) -> list[tuple[bool, str | int | None]]:
    """Unknown first, because None has no place among values."""
    return [(value is not None, value) for value in found.group.values()]
