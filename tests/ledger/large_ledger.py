"""A ledger of half a million rows in seconds: a few thousand made ones, multiplied by SQL."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from streamgauge.ledger import rollup_fill
from streamgauge.ledger.rows import ATTEMPTS, REQUESTS
from streamgauge.ledger.schema import open_for_writing

from .made_ledger import START, add, exchanges
from .rollup_rig import transaction

SEED_ROWS = 5_000
SEED_DAYS = 0.3
DAYS_APART = 0.3
"""Each copy of the seed lies behind the one before."""
_DAY = 86_400_000_000


def make_large(path: Path, rows: int) -> None:
    """Write a ledger with `rows` closed rows (a multiple of SEED_ROWS), rolled up."""
    with closing(open_for_writing(path)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA cache_size = -200000")
        add(connection, exchanges(SEED_ROWS, days=SEED_DAYS, wild=0.1))
        _multiply(connection, rows // SEED_ROWS)
        more = True
        while more:
            with transaction(connection):
                more = rollup_fill.catch_up(connection, 50_000)


def end_of(rows: int) -> int:
    """Return when the last row of a ledger of `rows` may have begun, in µs."""
    return START + round(rows / SEED_ROWS * DAYS_APART * _DAY)


def _multiply(connection: sqlite3.Connection, copies: int) -> None:
    """Copy the seed with other ids, sessions and times; indexes and triggers are made again after."""
    kept = connection.execute(
        "SELECT name, sql, type FROM sqlite_schema WHERE tbl_name = 'requests' AND sql IS NOT NULL "
        "AND type IN ('index', 'trigger')"
    ).fetchall()
    step = round(DAYS_APART * _DAY)
    numbers = f"(WITH RECURSIVE c(k) AS (SELECT 1 UNION ALL SELECT k + 1 FROM c WHERE k < {copies - 1}) SELECT k FROM c)"
    changed = {
        "id": "printf('%04x', k) || substr(r.id, 5)",
        "started_at": f"r.started_at + k * {step}",
        "finished_at": f"r.finished_at + k * {step}",
        "session_id": "r.session_id || '-' || k",
    }
    columns = ", ".join(changed.get(name, f"r.{name}") for name in REQUESTS.names)
    tries = ", ".join(
        "printf('%04x', k) || substr(r.request_id, 5)" if name == "request_id" else f"r.{name}"
        for name in ATTEMPTS.names
    )
    connection.execute("BEGIN")
    for name, _, kind in kept:
        connection.execute(f"DROP {kind} {name}")
    connection.execute(
        f"INSERT INTO requests SELECT {columns} FROM {numbers} CROSS JOIN requests r"
    )
    connection.execute(f"INSERT INTO attempts SELECT {tries} FROM {numbers} CROSS JOIN attempts r")
    connection.execute(
        "INSERT INTO closings (request_id, finished_at) SELECT id, finished_at FROM requests "
        f"WHERE rowid > {SEED_ROWS}"
    )
    for _, sql, _ in kept:
        connection.execute(sql)
    connection.execute("COMMIT")
