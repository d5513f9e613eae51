"""Closes what a gateway that died left in flight. Trusts the lock: whoever wrote it is dead."""

from __future__ import annotations

import sqlite3

from streamgauge.core.record import Status

__all__ = ["close_left_open"]

# The attempts first: they are found through the rows that are still open. A clock that went back
# must not make an exchange end before it began.
_ATTEMPTS = """
    UPDATE attempts SET outcome = :crash, finished_at = max(:now, ifnull(started_at, :now))
    WHERE outcome IS NULL
      AND request_id IN (SELECT id FROM requests WHERE status = 'in_flight')
"""
_REQUESTS = """
    UPDATE requests SET status = :crash, success = 0, error_code = NULL,
        finished_at = max(:now, started_at)
    WHERE status = 'in_flight'
"""


def close_left_open(connection: sqlite3.Connection, now_us: int) -> int:
    """Close open rows as `gateway_crash` at `now_us` (µs since the epoch); return how many (F1)."""
    values = {"crash": Status.GATEWAY_CRASH.value, "now": now_us}
    connection.execute("BEGIN IMMEDIATE")
    try:
        connection.execute(_ATTEMPTS, values)
        closed = connection.execute(_REQUESTS, values).rowcount
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
    return closed
