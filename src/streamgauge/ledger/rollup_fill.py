"""Adds closed rows to the hourly roll-ups, each once, in the order of their closing. Knows no thread."""

from __future__ import annotations

import sqlite3

from streamgauge.ledger.rollup_sql import DAY_US, NAMES_AN_HOUR, TIMES, USAGE, Table, new_names

__all__ = ["BATCH", "catch_up", "rebuild"]

BATCH = 500
"""Rows in one call: some 5 ms of work, during which no row is committed."""

# CROSS JOIN: the closings are the outer loop, whatever the planner thinks of the tables' sizes.
_ROWS = (
    "FROM closings c CROSS JOIN requests r ON r.id = c.request_id "
    "WHERE c.seq > :done AND c.seq <= :last AND c.finished_at >= :since"
)
_LAST = (
    "SELECT max(seq) FROM (SELECT seq FROM closings WHERE seq > :done ORDER BY seq LIMIT :limit)"
)
_MAX = 2**63 - 1
_ALWAYS = -(2**63)


def _upsert(table: str, span: str, of: Table) -> str:
    places = ", ".join("?" * (1 + len(of.dimensions) + len(of.sums)))
    keys = ", ".join((span, *of.dimensions))
    # What does not fit into 64 bits becomes a float, which is larger: the sum stops at the limit.
    added = ", ".join(f"{name} = min({_MAX}, {name} + excluded.{name})" for name in of.sums)
    return f"INSERT INTO {table} VALUES ({places}) ON CONFLICT ({keys}) DO UPDATE SET {added}"


_ADDS = tuple(
    (select, _upsert(table.name, "hour", table), _upsert(table.daily, "day", table))
    for table in (USAGE, TIMES)
    for select in table.selects(_ROWS)
)
_NEW_NAMES = {kind: new_names(kind, _ROWS) for kind in NAMES_AN_HOUR}
_ADMIT = (
    "INSERT INTO rollup_names SELECT ?1, ?2, ?3 "
    "WHERE (SELECT count(*) FROM rollup_names WHERE hour = ?1 AND kind = ?2) < ?4"
)


def catch_up(connection: sqlite3.Connection, limit: int = BATCH) -> bool:
    """Add the next rows, at most `limit`, and return whether some are left; within a transaction.

    The sums and the mark of how far they go change together, so a crash adds nothing twice.
    """
    done = _rolled_up_to(connection)
    last = _last(connection, done, limit)
    if last is None:
        return False
    _add_rows(connection, done, last, _ALWAYS)
    connection.execute("UPDATE rollup_state SET rolled_up_to = ?", (last,))
    return _last(connection, last, 1) is not None


def rebuild(connection: sqlite3.Connection) -> None:
    """Make the roll-ups of all days whose rows are kept anew; within a transaction, of any length.

    Days that retention has gone through stay as they are: nothing is left to make them from.
    """
    kept_from = connection.execute("SELECT kept_from FROM rollup_state").fetchone()[0]
    since = _ALWAYS if kept_from is None else kept_from
    for table in (USAGE.name, TIMES.name, "rollup_names"):
        connection.execute(f"DELETE FROM {table} WHERE hour >= ?", (since,))
    for table in (USAGE.daily, TIMES.daily):
        connection.execute(f"DELETE FROM {table} WHERE day >= ?", (since,))
    done, end = 0, _rolled_up_to(connection)
    while done < end and (last := _last(connection, done, BATCH)) is not None:
        last = min(last, end)
        _add_rows(connection, done, last, since)
        done = last


def _rolled_up_to(connection: sqlite3.Connection) -> int:
    seq: int = connection.execute("SELECT rolled_up_to FROM rollup_state").fetchone()[0]
    return seq


def _last(connection: sqlite3.Connection, done: int, limit: int) -> int | None:
    row = connection.execute(_LAST, {"done": done, "limit": limit}).fetchone()
    return None if row[0] is None else int(row[0])


def _add_rows(connection: sqlite3.Connection, done: int, last: int, since: int) -> None:
    span = {"done": done, "last": last, "since": since}
    for kind, query in _NEW_NAMES.items():
        for hour, name in connection.execute(query, span).fetchall():
            connection.execute(_ADMIT, (hour, kind, name, NAMES_AN_HOUR[kind]))
    for select, add_to_hour, add_to_day in _ADDS:
        rows = connection.execute(select, span).fetchall()
        connection.executemany(add_to_hour, rows)
        connection.executemany(add_to_day, [(row[0] // DAY_US * DAY_US, *row[1:]) for row in rows])
