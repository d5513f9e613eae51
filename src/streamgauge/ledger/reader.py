"""Reads a SQLite ledger while a gateway writes to it, or without one. Never writes."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from streamgauge.core.record import Status
from streamgauge.ledger.base import LedgerForeign, LedgerMissing, LedgerUnreadable
from streamgauge.ledger.globs import fits_glob
from streamgauge.ledger.presence import is_there
from streamgauge.ledger.rows import ATTEMPTS, REQUESTS, Kind, RowShape, storable_text
from streamgauge.ledger.schema import APPLICATION_ID, opening

__all__ = ["MOST_ROWS", "Filter", "LedgerReader", "newest_start", "row_of"]

MOST_ROWS = 2**63 - 1
"""What SQLite can count: a larger limit is none."""

_PREFIX_END = "\U0010ffff"
"""Sorts after everything that an id may go on with."""

_MODELS = ("requested_model", "upstream_model", "response_model")


@dataclass(frozen=True, slots=True)
class Filter:
    """Which rows; empty means all. `model`, `session`, `upstream`: globs.

    Begun at `since` or later, and before `until`: µs since the epoch. A model fits when it was
    asked for, sent, or named in the answer.
    """

    since: int | None = None
    statuses: Sequence[str] = ()
    model: str | None = None
    session: str | None = None
    until: int | None = None
    upstream: str | None = None

    def as_sql(self) -> tuple[str, list[str | int]]:
        """Return a WHERE clause, empty or with a space before it, and its values."""
        terms = _status_terms(self.statuses)
        values: list[str | int] = [*self.statuses]
        for term, moment in (("started_at >= ?", self.since), ("started_at < ?", self.until)):
            if moment is not None:
                terms.append(term)
                values.append(moment)
        for columns, pattern in (
            (_MODELS, self.model),
            (("session_id",), self.session),
            (("upstream",), self.upstream),
        ):
            if pattern is not None:
                term, fitting = fits_glob(columns, pattern)
                terms.append(term)
                values += fitting
        return (" WHERE " + " AND ".join(terms) if terms else ""), values


class LedgerReader:
    """A read-only connection. Rows come as dicts of SPEC §8.3's names, in its order.

    Booleans are bool, `anomalies` a list, `price` an object; unknown is None. Columns that an
    older ledger lacks are None.
    """

    def __init__(self, path: Path | str) -> None:
        """Open, or raise LedgerMissing, LedgerUnreadable, LedgerCorrupt, LedgerForeign or LedgerOpenError."""
        self._path = Path(path)
        self._frozen = False
        if not is_there(self._path):
            raise LedgerMissing(f"there is no ledger at {self._path}")
        with opening(self._path):
            self._connection = self._connect()
            self._request_columns = self._columns("requests", REQUESTS)
            self._attempt_columns = self._columns("attempts", ATTEMPTS)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._connection.close()

    def newest(self, wanted: Filter, limit: int | None = None) -> Iterator[dict[str, Any]]:
        """Yield the rows that fit, the newest first, at most `limit` of them."""
        where, values = wanted.as_sql()
        tail = f"{where} ORDER BY started_at DESC, rowid DESC LIMIT ?"
        yield from self._select(
            tail, [*values, MOST_ROWS if limit is None else min(limit, MOST_ROWS)]
        )

    def oldest(self, wanted: Filter) -> Iterator[dict[str, Any]]:
        """Yield the rows that fit, the oldest first, in constant memory and all of one instant."""
        where, values = wanted.as_sql()
        yield from self._select(f"{where} ORDER BY started_at, rowid", values)

    def count(self, wanted: Filter) -> int:
        """Return how many rows fit."""
        where, values = wanted.as_sql()
        with opening(self._path):
            query = f"SELECT count(*) FROM requests{where}"
            return int(self._connection.execute(query, values).fetchone()[0])

    @property
    def schema(self) -> int:
        """The number of the newest migration that the file has had."""
        with opening(self._path):
            return int(self._connection.execute("PRAGMA user_version").fetchone()[0])

    @contextmanager
    def snapshot(self) -> Iterator[sqlite3.Connection]:
        """Yield the connection in a transaction: all that is read with it is of one instant."""
        with opening(self._path):
            try:
                self._connection.execute("BEGIN")
                # A transaction begins with its first read.
                self._connection.execute("SELECT 1 FROM requests LIMIT 1").fetchone()
                yield self._connection
                self._connection.execute("COMMIT")
            finally:
                # Or whoever reads next with this connection could begin none.
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")

    def ids_like(self, prefix: str, limit: int) -> list[str]:
        """Return the ids that begin with `prefix`, at most `limit`; one that equals it, alone."""
        query = "SELECT id FROM requests WHERE id >= ? AND id < ? ORDER BY id LIMIT ?"
        prefix = storable_text(prefix)
        with opening(self._path):
            rows = self._connection.execute(query, (prefix, prefix + _PREFIX_END, limit))
            ids = [row[0] for row in rows]
        return [prefix] if prefix in ids else ids

    def ids_of_client_request(self, client_request_id: str, limit: int) -> list[str]:
        """Return the newest ids that a client's own `x-request-id` belongs to, at most `limit`."""
        query = "SELECT id FROM requests WHERE client_request_id = ? ORDER BY rowid DESC LIMIT ?"
        with opening(self._path):
            rows = self._connection.execute(query, (storable_text(client_request_id), limit))
            return [row[0] for row in rows]

    def exchange(self, id: str) -> tuple[dict[str, Any], list[dict[str, Any]]] | None:
        """Return the row with this id and its attempts in order, or None."""
        request = f"SELECT {self._request_columns} FROM requests WHERE id = ?"
        attempts = f"SELECT {self._attempt_columns} FROM attempts WHERE request_id = ? ORDER BY n"
        with self.snapshot() as connection:
            row = connection.execute(request, (storable_text(id),)).fetchone()
            tries = connection.execute(attempts, (storable_text(id),)).fetchall()
        if row is None:
            return None
        return _as_dict(REQUESTS, row), [_as_dict(ATTEMPTS, each) for each in tries]

    def _select(self, tail: str, values: Sequence[Any]) -> Iterator[dict[str, Any]]:
        """Yield the rows of `requests` that `tail`, the query behind the table's name, asks for."""
        with opening(self._path):
            query = f"SELECT {self._request_columns} FROM requests{tail}"
            for row in self._connection.execute(query, values):
                yield _as_dict(REQUESTS, row)

    def _connect(self) -> sqlite3.Connection:
        uri = self._path.absolute().as_uri()
        connection = sqlite3.connect(f"{uri}?mode=ro", uri=True, isolation_level=None)
        self._frozen = False
        try:
            application = connection.execute("PRAGMA application_id").fetchone()[0]
        except sqlite3.OperationalError as error:
            connection.close()
            if not self._shut_to_readers(error):
                raise
            if self._has_log():
                raise LedgerUnreadable(
                    f"ledger {self._path} cannot be read: its newest rows are in its -wal, which only "
                    f"a user who may write beside it can read: ask as such a one"
                ) from error
            # No right to make the files that readers share: nobody writes, so none are needed.
            connection = sqlite3.connect(f"{uri}?immutable=1", uri=True, isolation_level=None)
            self._frozen = True
            application = connection.execute("PRAGMA application_id").fetchone()[0]
        if application != APPLICATION_ID:
            connection.close()
            raise LedgerForeign(f"{self._path} is not a streamgauge ledger")
        return connection

    def _shut_to_readers(self, error: sqlite3.OperationalError) -> bool:
        """Whether it failed because this user, or anybody, may make no file beside the ledger."""
        refused = error.sqlite_errorcode & 0xFF in (
            sqlite3.SQLITE_CANTOPEN,
            sqlite3.SQLITE_READONLY,
        )
        return refused and not os.access(self._path.resolve().parent, os.W_OK)

    def _has_log(self) -> bool:
        real = self._path.resolve()
        log = real.with_name(real.name + "-wal")
        return log.exists() and log.stat().st_size > 0

    def _columns(self, table: str, shape: RowShape) -> str:
        there = {row[1] for row in self._connection.execute(f"PRAGMA table_info({table})")}
        return ", ".join(name if name in there else f"NULL AS {name}" for name in shape.names)


def row_of(path: Path | str, request_id: str) -> dict[str, Any] | None:
    """Return the row with this id of the ledger at `path`, or None. Raises as LedgerReader does."""
    with LedgerReader(path) as reader:
        found = reader.exchange(request_id)
    return None if found is None else found[0]


def newest_start(path: Path | str) -> int | None:
    """Return when the newest row of the ledger at `path` began, in µs; None where it has none."""
    with LedgerReader(path) as reader, reader.snapshot() as connection:
        (newest,) = connection.execute("SELECT max(started_at) FROM requests").fetchone()
    return None if newest is None else int(newest)


def _status_terms(statuses: Sequence[str]) -> list[str]:
    if not statuses:
        return []
    terms = [f"status IN ({', '.join('?' * len(statuses))})"]
    if not {Status.COMPLETED, Status.IN_FLIGHT} & {*statuses}:
        # Says nothing new, but in the words of the index of the exceptions, which is then used.
        terms.append("status NOT IN ('completed', 'in_flight')")
    return terms


def _as_dict(shape: RowShape, row: Sequence[Any]) -> dict[str, Any]:
    found = dict(zip(shape.names, row, strict=True))
    for name, read in _READ[shape]:
        found[name] = read(found[name])
    return found


def _flag(value: int | None) -> bool | None:
    return None if value is None else bool(value)


def _names(value: str | None) -> Any:
    return [] if value is None else _from_json(value)


def _price(value: str | None) -> Any:
    return None if value is None else _from_json(value)


def _from_json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text  # Someone's hand was in it: shown as it is rather than not at all.


def _readers(shape: RowShape) -> list[tuple[str, Callable[[Any], Any]]]:
    by_kind: dict[Kind, Callable[[Any], Any]] = {Kind.FLAG: _flag, Kind.NAMES: _names}
    of_kind = [(name, by_kind[kind]) for name, kind in shape.columns() if kind in by_kind]
    return of_kind + [("price", _price)] * ("price" in shape.names)


_READ = {shape: _readers(shape) for shape in (REQUESTS, ATTEMPTS)}
"""The columns that are not told as they are stored, a few among many: listings are long."""
