"""What the screens read of a SQLite ledger, each in bounded time however long it is. Never writes.

A listing walks an index and looks at so many rows; how far it came is part of its answer.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from streamgauge.core.record import Status
from streamgauge.ledger.globs import fits_glob
from streamgauge.ledger.questions import LATEST_US, Place, RequestFilter, RequestPage, Speeds
from streamgauge.ledger.reader import LedgerReader
from streamgauge.ledger.schema import opening

__all__ = ["SCAN_ROWS", "LedgerQueries"]

SCAN_ROWS = 20_000
"""Rows that one page looks at: 30 ms with a search for text, where the figure is 100 ms."""
_NEWEST = Place(LATEST_US, "\U0010ffff")
_MODELS = ("requested_model", "upstream_model", "response_model")
_TEXTS = (
    *("id", "client_request_id", "session_id", "key_id", "client_app", "endpoint", "upstream"),
    *(*_MODELS, "route", "error_code", "error_message", "finish_reason", "anomalies"),
)
_SPEED_ROWS = 2_000

Values = list[str | int]


@dataclass(frozen=True, slots=True)
class _Walk:
    """An index by `started_at` under `terms`, which its rows fulfil."""

    index: str
    terms: str = ""
    values: tuple[str, ...] = ()


class LedgerQueries(LedgerReader):
    """A read-only connection for screens. It belongs to one thread. Raises LedgerOpenError's kinds.

    `scan_rows`: how many rows one page of a listing looks at.
    """

    def __init__(self, path: Path | str, scan_rows: int = SCAN_ROWS) -> None:
        super().__init__(path)
        self._scan_rows = scan_rows

    def requests(
        self, wanted: RequestFilter, limit: int, after: Place | None = None
    ) -> RequestPage:
        """Return the next `limit` rows that fit, newest first, `after` the last one shown.

        It looks at `scan_rows` rows or so for each status that is asked for; then the page may be
        short and still have a `next`.
        """
        if wanted.text and after is None and (named := self._named(wanted.text)):
            return RequestPage(named, None)
        place = _NEWEST if after is None else after
        if wanted.until is not None and wanted.until <= place.started_at:
            place = Place(wanted.until)
        walks = _walks(wanted)
        bounds = [self._bound(walk, place, wanted.since) for walk in walks]
        bound = max((each for each in bounds if each is not None), default=None)
        rows = self._walked(walks, wanted, place, bound, limit + 1)
        if len(rows) > limit:
            last = rows[limit - 1]
            return RequestPage(rows[:limit], Place(last["started_at"], last["id"]))
        return RequestPage(rows, None if bound is None else Place(bound), bound)

    def labels(self) -> dict[str, str]:
        """Return the labels of all client keys by their ids."""
        with opening(self._path):
            return dict(self._connection.execute("SELECT key_id, label FROM client_keys"))

    def begun_since(self, moment: int) -> int:
        """Return how many requests began at `moment` (µs) or later."""
        with opening(self._path):
            query = (
                "SELECT count(*) FROM requests INDEXED BY requests_by_start WHERE started_at >= ?"
            )
            return int(self._connection.execute(query, (moment,)).fetchone()[0])

    def oldest_at(self) -> int | None:
        """Return when the oldest row began (µs), or None without any."""
        with opening(self._path):
            found = self._connection.execute("SELECT min(started_at) FROM requests").fetchone()[0]
        return None if found is None else int(found)

    def last_closing(self) -> int:
        """Return the number of the newest closing, 0 before the first."""
        with opening(self._path):
            found = self._connection.execute("SELECT max(seq) FROM closings").fetchone()[0]
        return 0 if found is None else int(found)

    def closed_after(self, seq: int, limit: int) -> tuple[int, list[dict[str, Any]]]:
        """Return the rows of the first `limit` closings after `seq`, and the last one's number."""
        query = "SELECT seq, request_id FROM closings WHERE seq > ? ORDER BY seq LIMIT ?"
        with opening(self._path):
            found = self._connection.execute(query, (seq, limit)).fetchall()
        if not found:
            return seq, []
        marks = ", ".join("?" * len(found))
        rows = {row["id"]: row for row in self._select(
            f" WHERE id IN ({marks})", [id for _, id in found])}  # fmt: skip
        return found[-1][0], [rows[id] for _, id in found if id in rows]

    def speeds(self, since: int) -> dict[str, Speeds]:
        """Return the speeds of the newest rows that began at `since` (µs) or later, by upstream."""
        query = (
            "SELECT upstream, generation_tps, prompt_tps FROM requests INDEXED BY requests_by_start "
            f"WHERE started_at >= ? ORDER BY started_at DESC LIMIT {_SPEED_ROWS}"
        )
        generation: defaultdict[str, list[float]] = defaultdict(list)
        prompt: defaultdict[str, list[float]] = defaultdict(list)
        with opening(self._path):
            for upstream, generated, read in self._connection.execute(query, (since,)):
                if upstream is not None and generated is not None:
                    generation[upstream].append(generated)
                if upstream is not None and read is not None:
                    prompt[upstream].append(read)
        return {
            name: Speeds(tuple(sorted(generation[name])), tuple(sorted(prompt[name])))
            for name in {*generation, *prompt}
        }

    def _named(self, text: str) -> list[dict[str, Any]]:
        """Return the rows whose id, or whose client's own id, is `text`."""
        tail = " WHERE id = ? OR client_request_id = ? ORDER BY started_at DESC LIMIT 100"
        return list(self._select(tail, [text, text]))

    def _bound(self, walk: _Walk, place: Place, since: int | None) -> int | None:
        """Return where a walk from `place` gives up (µs), or None where it comes to the end."""
        sql, values = boundary_sql(walk, place, since, self._scan_rows)
        with opening(self._path):
            found = self._connection.execute(sql, values).fetchone()
        return None if found is None else int(found[0])

    def _walked(
        self,
        walks: Iterable[_Walk],
        wanted: RequestFilter,
        place: Place,
        bound: int | None,
        limit: int,
    ) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        for walk in walks:
            tail, values = page_sql(walk, wanted, place, bound)
            rows += self._select(f"{tail} LIMIT ?", [*values, limit])
        rows.sort(key=lambda row: (row["started_at"], row["id"]), reverse=True)
        return rows[:limit]

    def plans(self, wanted: RequestFilter, place: Place = _NEWEST) -> list[str]:
        """Return how SQLite would answer a page of `wanted`, a line a step."""
        found: list[str] = []
        for walk in _walks(wanted):
            tail, values = page_sql(walk, wanted, place, 0)
            asked = [
                boundary_sql(walk, place, wanted.since, self._scan_rows),
                (f"SELECT * FROM requests{tail}", values),
            ]
            for sql, bound in asked:
                found += [str(row[3]) for row in self._plan(sql, bound)]
        return found

    def _plan(self, sql: str, values: Values) -> list[sqlite3.Row]:
        with opening(self._path):
            return self._connection.execute(f"EXPLAIN QUERY PLAN {sql}", values).fetchall()


def boundary_sql(walk: _Walk, place: Place, since: int | None, rows: int) -> tuple[str, Values]:
    """Return the query of the row that is `rows` behind `place` on `walk`: its `started_at`."""
    where, values = _behind(walk, place, since)
    query = (
        f"SELECT started_at FROM requests INDEXED BY {walk.index} WHERE {where} "
        f"ORDER BY started_at DESC LIMIT 1 OFFSET {rows}"
    )
    return query, values


def page_sql(
    walk: _Walk, wanted: RequestFilter, place: Place, bound: int | None
) -> tuple[str, Values]:
    """Return what stands behind `FROM requests` to read `walk` from `place` down to `bound`."""
    floor = [moment for moment in (bound, wanted.since) if moment is not None]
    where, values = _behind(walk, place, max(floor, default=None))
    terms, more = _filters(wanted)
    return (
        f" INDEXED BY {walk.index} WHERE {' AND '.join([where, *terms])} "
        "ORDER BY started_at DESC, id DESC",
        values + more,
    )


def _behind(walk: _Walk, place: Place, since: int | None) -> tuple[str, Values]:
    terms = [walk.terms] if walk.terms else []
    values: Values = [*walk.values]
    if place.id:
        terms.append("(started_at, id) < (?, ?)")
        values += [place.started_at, place.id]
    else:
        terms.append("started_at < ?")
        values.append(place.started_at)
    if since is not None:
        terms.append("started_at >= ?")
        values.append(since)
    return " AND ".join(terms), values


def _walks(wanted: RequestFilter) -> list[_Walk]:
    """Return the indexes that lead to the rows of `wanted` and to the fewest others."""
    if wanted.session is not None:
        return [_Walk("requests_by_session", "session_id = ?", (wanted.session,))]
    rare = {*wanted.statuses} - {Status.COMPLETED, Status.IN_FLIGHT}
    walks = [
        # Says it in the words of the index, too, which is else not used.
        _Walk(
            "requests_ended_otherwise",
            "status = ? AND status NOT IN ('completed', 'in_flight')",
            (status,),
        )
        for status in sorted(rare)
    ]
    if Status.IN_FLIGHT in wanted.statuses:
        walks.append(_Walk("requests_open", "status = 'in_flight'"))
    if not wanted.statuses or Status.COMPLETED in wanted.statuses:
        only = "status = 'completed'" if wanted.statuses else ""
        walks.append(_Walk("requests_by_start", only))
    return walks


def _filters(wanted: RequestFilter) -> tuple[list[str], Values]:
    terms: list[str] = []
    values: Values = []
    if wanted.session is not None and wanted.statuses:
        terms.append(f"status IN ({', '.join('?' * len(wanted.statuses))})")
        values += wanted.statuses
    if wanted.key is not None:
        terms.append("key_id = ?")
        values.append(wanted.key)
    for columns, pattern in ((("upstream",), wanted.upstream), (_MODELS, wanted.model)):
        if pattern is not None:
            term, fitting = fits_glob(columns, pattern)
            terms.append(term)
            values += fitting
    if wanted.text:
        terms.append(_any("LIKE ? ESCAPE '\\'", _TEXTS))
        values += [f"%{_escaped(wanted.text)}%"] * len(_TEXTS)
    return terms, values


def _any(test: str, columns: Sequence[str]) -> str:
    return "(" + " OR ".join(f"{name} {test}" for name in columns) + ")"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
