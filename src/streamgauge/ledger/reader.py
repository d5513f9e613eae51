"""Reads a SQLite ledger while a gateway writes to it, or without one. Never writes."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from streamgauge.ledger.base import LedgerForeign, LedgerMissing
from streamgauge.ledger.rows import ATTEMPTS, REQUESTS, Kind, RowShape
from streamgauge.ledger.schema import APPLICATION_ID, opening

__all__ = ["Filter", "LedgerReader"]

_PREFIX_END = "\U0010ffff"
"""Sorts after everything that an id may go on with."""

_MODELS = ("requested_model", "upstream_model", "response_model")


@dataclass(frozen=True, slots=True)
class Filter:
    """Which rows; empty means all. `since`: µs since the epoch. `model`, `session`: globs.

    A model fits when it was asked for, sent, or named in the answer.
    """

    since: int | None = None
    statuses: Sequence[str] = ()
    model: str | None = None
    session: str | None = None

    def as_sql(self) -> tuple[str, list[str | int]]:
        """Return a WHERE clause, empty or with a space before it, and its values."""
        terms: list[str] = []
        values: list[str | int] = []
        if self.since is not None:
            terms.append("started_at >= ?")
            values.append(self.since)
        if self.statuses:
            terms.append(f"status IN ({', '.join('?' * len(self.statuses))})")
            values += self.statuses
        if self.model is not None:
            terms.append("(" + " OR ".join(f"{name} GLOB ?" for name in _MODELS) + ")")
            values += [_glob(self.model)] * len(_MODELS)
        if self.session is not None:
            terms.append("session_id GLOB ?")
            values.append(_glob(self.session))
        return (" WHERE " + " AND ".join(terms) if terms else ""), values


class LedgerReader:
    """A read-only connection. Rows come as dicts of SPEC §8.3's names, in its order.

    Booleans are bool, `anomalies` a list, `price` an object; unknown is None. Columns that an
    older ledger lacks are None.
    """

    def __init__(self, path: Path | str) -> None:
        """Open, or raise LedgerMissing, LedgerCorrupt, LedgerForeign or LedgerOpenError."""
        self._path = Path(path)
        if not self._path.is_file():
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
        query = (
            f"SELECT {self._request_columns} FROM requests{where} "
            f"ORDER BY started_at DESC, rowid DESC LIMIT ?"
        )
        with opening(self._path):
            for row in self._connection.execute(query, [*values, -1 if limit is None else limit]):
                yield _as_dict(REQUESTS, row)

    def ids_like(self, prefix: str, limit: int) -> list[str]:
        """Return the ids that begin with `prefix`, at most `limit`; one that equals it, alone."""
        query = "SELECT id FROM requests WHERE id >= ? AND id < ? ORDER BY id LIMIT ?"
        with opening(self._path):
            rows = self._connection.execute(query, (prefix, prefix + _PREFIX_END, limit))
            ids = [row[0] for row in rows]
        return [prefix] if prefix in ids else ids

    def exchange(self, id: str) -> tuple[dict[str, Any], list[dict[str, Any]]] | None:
        """Return the row with this id and its attempts in order, or None."""
        request = f"SELECT {self._request_columns} FROM requests WHERE id = ?"
        attempts = f"SELECT {self._attempt_columns} FROM attempts WHERE request_id = ? ORDER BY n"
        with opening(self._path):
            # One transaction: the row and its attempts are of the same instant.
            self._connection.execute("BEGIN")
            row = self._connection.execute(request, (id,)).fetchone()
            tries = self._connection.execute(attempts, (id,)).fetchall()
            self._connection.execute("COMMIT")
        if row is None:
            return None
        return _as_dict(REQUESTS, row), [_as_dict(ATTEMPTS, each) for each in tries]

    def _connect(self) -> sqlite3.Connection:
        uri = self._path.absolute().as_uri()
        connection = sqlite3.connect(f"{uri}?mode=ro", uri=True, isolation_level=None)
        try:
            application = connection.execute("PRAGMA application_id").fetchone()[0]
        except sqlite3.OperationalError as error:
            connection.close()
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_CANTOPEN or self._has_log():
                raise
            # No right to make the files that readers share: nobody writes, so none are needed.
            connection = sqlite3.connect(f"{uri}?immutable=1", uri=True, isolation_level=None)
            application = connection.execute("PRAGMA application_id").fetchone()[0]
        if application != APPLICATION_ID:
            connection.close()
            raise LedgerForeign(f"{self._path} is not a streamgauge ledger")
        return connection

    def _has_log(self) -> bool:
        log = self._path.with_name(self._path.name + "-wal")
        return log.exists() and log.stat().st_size > 0

    def _columns(self, table: str, shape: RowShape) -> str:
        there = {row[1] for row in self._connection.execute(f"PRAGMA table_info({table})")}
        return ", ".join(name if name in there else f"NULL AS {name}" for name in shape.names)


def _glob(pattern: str) -> str:
    # Only * and ? are signs: a bracket is a letter of a name such as `llama[q4]`.
    return pattern.replace("[", "[[]")


def _as_dict(shape: RowShape, row: Sequence[Any]) -> dict[str, Any]:
    pairs = zip(shape.columns(), row, strict=True)
    return {name: _read(name, kind, value) for (name, kind), value in pairs}


def _read(name: str, kind: Kind, value: Any) -> Any:
    if value is None:
        return [] if kind is Kind.NAMES else None
    if kind is Kind.FLAG:
        return bool(value)
    if kind is Kind.NAMES or name == "price":
        return _from_json(value)
    return value


def _from_json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text  # Someone's hand was in it: shown as it is rather than not at all.
