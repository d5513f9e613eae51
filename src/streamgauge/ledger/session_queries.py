"""What the screens read of sessions and of the roll-ups. Bounded as the listings are. Never writes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from streamgauge.core.record import Status
from streamgauge.ledger import rollup
from streamgauge.ledger.queries import LedgerQueries
from streamgauge.ledger.questions import Session, SessionPage, SessionRows, Superseded
from streamgauge.ledger.rollup import By, Hours, Metric, TimesBy
from streamgauge.ledger.rollup_sums import TimesSum, UsageSum
from streamgauge.ledger.schema import opening

__all__ = ["MOST_TURNS", "ScreenQueries"]

MOST_TURNS = 500
"""Turns of a session that are shown and added up: days of work with an agent."""
_NEVER = 2**63 - 1

Row = dict[str, Any]


class ScreenQueries(LedgerQueries):
    """Everything that a screen asks of a ledger. It belongs to one thread."""

    def usage(self, hours: Hours, by: Sequence[By]) -> list[UsageSum]:
        """Return what `rollup.usage` returns."""
        with self.snapshot() as connection:
            return rollup.usage(connection, hours, by)

    def times(self, metric: Metric, hours: Hours, by: Sequence[TimesBy]) -> list[TimesSum]:
        """Return what `rollup.times` returns."""
        with self.snapshot() as connection:
            return rollup.times(connection, metric, hours, by)

    def sessions(
        self, limit: int, before: int | None = None, since: int | None = None
    ) -> SessionPage:
        """Return `limit` sessions or a few more, last heard of before `before` (µs) and not before `since`.

        It looks at `scan_rows` rows or so: the page may be short, or empty, and have a `next`.
        """
        end = _NEVER if before is None else before
        with self.snapshot():
            heard, bound = self._heard(end, since)
            shown = heard[:limit]
            # Those heard of at the very same instant cannot be told apart by the next page.
            shown += [each for each in heard[limit:] if each[1] == shown[-1][1]]
            sessions = [self._session(session_id) for session_id, _ in shown]
        if len(shown) < len(heard):
            return SessionPage(sessions, shown[-1][1])
        return SessionPage(sessions, bound)

    def session_usage(self, session_id: str, turns: int) -> UsageSum | None:
        """Return the sums of a session, or None when it has more than MOST_TURNS."""
        if turns > MOST_TURNS:
            return None
        with opening(self._path):
            return rollup.usage_of_rows(self._connection, "r.session_id = ?", (session_id,))

    def session(self, session_id: str) -> SessionRows | None:
        """Return a session with its newest rows, or None where there is no such session."""
        tail = (
            " INDEXED BY requests_by_session WHERE session_id = ? "
            f"ORDER BY started_at DESC, id DESC LIMIT {MOST_TURNS}"
        )
        with self.snapshot():
            rows = list(self._select(tail, [session_id]))
            turns = self._turns(session_id)[0]
        rows.reverse()
        return SessionRows(turns, rows, _superseded(rows)) if rows else None

    def _heard(self, end: int, since: int | None) -> tuple[list[tuple[str, int]], int | None]:
        """Return sessions by when they were heard of last before `end`, and where the look ended."""
        floor = -_NEVER if since is None else since
        where = "INDEXED BY requests_by_start WHERE started_at < ? AND started_at >= ?"
        query = (
            f"SELECT started_at FROM requests {where} ORDER BY started_at DESC "
            f"LIMIT 1 OFFSET {self._scan_rows}"
        )
        found = self._connection.execute(query, (end, floor)).fetchone()
        bound = None if found is None else int(found[0])
        # One that was heard of later has been on an earlier page.
        grouped = (
            f"SELECT session_id, max(started_at) AS last FROM requests {where} "
            "AND session_id IS NOT NULL GROUP BY session_id"
        )
        query = (
            f"SELECT session_id, last FROM ({grouped}) AS seen WHERE NOT EXISTS ("
            "SELECT 1 FROM requests r WHERE r.session_id = seen.session_id AND r.started_at >= ?) "
            "ORDER BY last DESC, session_id"
        )
        values = (end, floor if bound is None else bound, end)
        return self._connection.execute(query, values).fetchall(), bound

    def _turns(self, session_id: str) -> tuple[int, int]:
        query = "SELECT count(*), min(started_at) FROM requests WHERE session_id = ?"
        turns, first = self._connection.execute(query, (session_id,)).fetchone()
        return int(turns), first

    def _session(self, session_id: str) -> Session:
        turns, first = self._turns(session_id)
        newest = " WHERE session_id = ? ORDER BY started_at DESC, id DESC LIMIT 1"
        last = next(self._select(newest, [session_id]))
        query = (
            "SELECT id FROM requests INDEXED BY requests_open "
            "WHERE status = 'in_flight' AND session_id = ? ORDER BY started_at LIMIT 100"
        )
        running = self._connection.execute(query, (session_id,)).fetchall()
        return Session(session_id, turns, first, last, tuple(row[0] for row in running))


def _superseded(rows: Sequence[Row]) -> list[Superseded]:
    """Return who was cut by whom: of a session's rows, the newest that had begun by its end."""
    found = []
    for place, row in enumerate(rows):
        if row["status"] != Status.SUPERSEDED or row["finished_at"] is None:
            continue
        later = [r for r in rows[place + 1 :] if r["started_at"] <= row["finished_at"]]
        if later:
            ms = (row["finished_at"] - later[-1]["started_at"]) / 1000
            found.append(Superseded(row["id"], later[-1]["id"], ms))
    return found
