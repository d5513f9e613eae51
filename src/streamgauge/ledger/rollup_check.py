"""Compares the roll-ups with the rows they were made from, number by number (FAULTS I8). Never writes."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from streamgauge.ledger.rollup_sql import DAY_US, LATER, TIMES, USAGE, Table

__all__ = ["Difference", "differences"]

_CLOSED = "FROM requests r WHERE r.status <> 'in_flight' AND ifnull(r.finished_at, r.started_at) >= :since"
_SINCE = "SELECT ifnull(kept_from, -9223372036854775808) FROM rollup_state"


@dataclass(frozen=True, slots=True)
class Difference:
    """One number of one group of `table` that is not what its rows add up to."""

    table: str
    group: Mapping[str, str | int]
    column: str
    rows: int
    rollups: int


def differences(connection: sqlite3.Connection) -> Iterator[Difference]:
    """Yield what differs, of the days whose rows are all kept; reads every row once or twice.

    The roll-ups here are what a reader is told: the tables, and rows closed after them. Within a
    transaction, because a gateway may go on writing.
    """
    since = connection.execute(_SINCE).fetchone()[0]
    for table in (USAGE, TIMES):
        yield from _hourly(connection, since, table)
        yield from _daily(connection, since, table)


def _hourly(connection: sqlite3.Connection, since: int, table: Table) -> Iterator[Difference]:
    """Compare what rows add up to with the hourly roll-ups and the rows behind them."""
    rollups = [f"SELECT * FROM {table.name} WHERE hour >= :since"]
    rollups += [f"SELECT * FROM ({later}) WHERE hour >= :since" for later in table.selects(LATER)]
    names = ("hour", *table.dimensions)
    return _compare(connection, since, table.name, names, table, table.selects(_CLOSED), rollups)


def _daily(connection: sqlite3.Connection, since: int, table: Table) -> Iterator[Difference]:
    """Compare the hourly roll-ups with the daily ones, which were filled beside them."""
    columns = ", ".join((*table.dimensions, *table.sums))
    by_day = f"SELECT hour / {DAY_US} * {DAY_US} AS day, {columns} FROM {table.name}"
    hours = f"{by_day} WHERE hour >= :since"
    days = f"SELECT day, {columns} FROM {table.daily} WHERE day >= :since"
    names = ("day", *table.dimensions)
    return _compare(connection, since, table.daily, names, table, [hours], [days])


def _compare(
    connection: sqlite3.Connection,
    since: int,
    name: str,
    keys: tuple[str, ...],
    table: Table,
    rows: list[str],
    rollups: list[str],
) -> Iterator[Difference]:
    sides = [f"SELECT 0 AS side, * FROM ({query})" for query in rows]
    sides += [f"SELECT 1 AS side, * FROM ({query})" for query in rollups]
    sums = [
        f"ifnull(sum({column}) FILTER (WHERE side = {side}), 0)"
        for column in table.sums
        for side in (0, 1)
    ]
    both = f"({' UNION ALL '.join(sides)})"
    query = f"SELECT {', '.join((*keys, *sums))} FROM {both} GROUP BY {', '.join(keys)}"
    for row in connection.execute(query, {"since": since}):
        group = dict(zip(keys, row, strict=False))
        numbers = row[len(keys) :]
        for column, told, found in zip(table.sums, numbers[::2], numbers[1::2], strict=True):
            if told != found:
                yield Difference(name, group, column, rows=told, rollups=found)
