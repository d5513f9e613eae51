"""Deletes closed rows by age, a few at a time; their sums stay in the roll-ups. Knows no clock."""

from __future__ import annotations

import sqlite3

from streamgauge.ledger.rollup_sql import DAY_US

__all__ = ["BATCH", "cutoff_us", "delete_older"]

BATCH = 200
"""Rows in one call: some 5 ms of work, during which no row is committed."""

# Only what is in the roll-ups, or its sums would go with it, and what every exporter that is
# configured has delivered: an outage loses nothing. In flight is never among closings.
_DONE = (
    "SELECT min(rolled_up_to, ifnull((SELECT min(seq) FROM export_cursors WHERE serving = 1), "
    "rolled_up_to)) FROM rollup_state"
)
# Rows of one µs go together: an exporter tells them apart by how many were closed before
# (cursors.py).
_OLD = (
    "SELECT seq, request_id FROM closings c WHERE finished_at < :cutoff AND seq <= :done "
    "AND NOT EXISTS (SELECT 1 FROM closings b WHERE b.finished_at = c.finished_at "
    "AND b.seq > :done) ORDER BY finished_at LIMIT :limit"
)


def cutoff_us(now_us: int, days: int) -> int:
    """Return the begin of the day (UTC) that lies `days` before `now_us`, in µs.

    Whole days go at once, so that a day's roll-up has all of its rows behind it or is marked.
    """
    return (now_us // DAY_US - days) * DAY_US


def delete_older(connection: sqlite3.Connection, cutoff: int, limit: int = BATCH) -> bool:
    """Delete at most `limit` rows that finished before `cutoff`, with their attempts.

    Returns whether more may be left. Within a transaction, which also notes from when on all rows
    are kept: before it, rows and roll-ups are no longer expected to agree.
    """
    done = connection.execute(_DONE).fetchone()[0]
    wanted = {"cutoff": cutoff, "done": done, "limit": limit}
    old = connection.execute(_OLD, wanted).fetchall()
    if not old:
        return False
    ids = [(id,) for _, id in old]
    connection.execute(
        "UPDATE rollup_state SET kept_from = max(ifnull(kept_from, ?1), ?1)", (cutoff,)
    )
    connection.executemany("DELETE FROM attempts WHERE request_id = ?", ids)
    connection.executemany("DELETE FROM requests WHERE id = ?", ids)
    connection.executemany("DELETE FROM closings WHERE seq = ?", [(seq,) for seq, _ in old])
    return len(old) == limit
