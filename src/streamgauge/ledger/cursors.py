"""Closed rows in the order of their closing, and how far each exporter has come. Knows no exporter."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from streamgauge.ledger.base import LedgerError
from streamgauge.ledger.rows import REQUESTS
from streamgauge.ledger.schema import opening
from streamgauge.ledger.upkeep import Maintain

__all__ = ["ClosedRows", "CursorKeeper", "serve_cursors"]

# The rank tells rows of one µs apart: thousands may share it, where a start closes what a crash
# left open. It is the same whenever it is asked for: rows of one µs are closed in one order, and
# retention takes none of them while an exporter still needs one.
_RANK = "(SELECT count(*) FROM closings b WHERE b.finished_at = c.finished_at AND b.seq < c.seq)"


class ClosedRows:
    """A read-only connection to a ledger, for an exporter. It belongs to one thread at a time.

    Rows are (seq, time, values): the time is the row's end in ns since the epoch, made unique;
    the values are those of `columns`, as they are stored. Raises LedgerOpenError's kinds.
    """

    def __init__(self, path: Path | str, columns: Sequence[str]) -> None:
        unknown = set(columns) - set(REQUESTS.names)
        if unknown:
            raise ValueError(f"no columns of requests: {', '.join(sorted(unknown))}")
        self._path = Path(path)
        self._columns = tuple(columns)
        self._query = (
            f"SELECT c.seq, c.finished_at * 1000 + {_RANK}, "
            f"{', '.join(f'r.{name}' for name in columns)} "
            "FROM closings c CROSS JOIN requests r ON r.id = c.request_id "
            "WHERE c.seq > ? AND c.seq <= ? ORDER BY c.seq LIMIT ?"
        )
        with opening(self._path):
            uri = f"{self._path.resolve().as_uri()}?mode=ro"
            self._connection = sqlite3.connect(
                uri, uri=True, isolation_level=None, check_same_thread=False
            )

    def close(self) -> None:
        """Let the file go."""
        self._connection.close()

    def ends(self) -> tuple[int, int]:
        """Return the seqs of the first closing and of the last; (1, 0) where there is none."""
        with opening(self._path):
            # Each by itself is a look at one end of the table; together they would read it whole.
            first, last = (f"(SELECT {end}(seq) FROM closings)" for end in ("min", "max"))
            query = f"SELECT ifnull({first}, 1), ifnull({last}, 0)"
            found = self._connection.execute(query).fetchone()
        return int(found[0]), int(found[1])

    def after(self, seq: int, upto: int, limit: int) -> list[tuple[int, int, Mapping[str, Any]]]:
        """Return the first `limit` rows whose closings are later than `seq`, and none after `upto`.

        Fewer than `limit` means that there are no more of them.
        """
        with opening(self._path):
            found = self._connection.execute(self._query, (seq, upto, limit)).fetchall()
        names = self._columns
        return [(row[0], row[1], dict(zip(names, row[2:], strict=True))) for row in found]

    def cursor(self, sink: str) -> tuple[int, str | None]:
        """Return where `sink` has come to and its state; of one that never was, the begin."""
        with opening(self._path):
            query = "SELECT seq, state FROM export_cursors WHERE sink = ?"
            found = self._connection.execute(query, (sink,)).fetchone()
        return (0, None) if found is None else (int(found[0]), found[1])


class CursorKeeper:
    """Has the place of one exporter written by the ledger's own thread, the newest only.

    A write that fails is not repeated before the next place: what is sent again after a crash,
    whoever takes it knows already.
    """

    def __init__(self, sink: str, maintain: Maintain) -> None:
        self._sink = sink
        self._maintain = maintain
        self._gate = threading.Lock()
        self._newest: tuple[int, str | None] | None = None
        self._asked = False

    def keep(self, seq: int, state: str | None) -> None:
        """Write this place soon; from any thread."""
        with self._gate:
            self._newest = (seq, state)
            if self._asked:
                return
            self._asked = True
        self._maintain("export cursor", self._write, self._done)

    def _write(self, connection: sqlite3.Connection) -> None:
        with self._gate:
            self._asked = False
            newest = self._newest
        if newest is not None:
            # A place never goes back, whoever else has written it.
            connection.execute(
                "INSERT INTO export_cursors VALUES (?1, ?2, 1, ?3) ON CONFLICT (sink) DO UPDATE "
                "SET seq = ?2, serving = 1, state = ?3 WHERE seq <= ?2",
                (self._sink, *newest),
            )

    def _done(self, error: LedgerError | None) -> None:
        if error is not None:
            with self._gate:
                self._asked = False


def serve_cursors(connection: sqlite3.Connection, sinks: Collection[str]) -> None:
    """Note which exporters the configuration has; retention waits for no other. In a transaction."""
    connection.execute("UPDATE export_cursors SET serving = 0")
    connection.executemany(
        "INSERT INTO export_cursors VALUES (?, 0, 1, NULL) "
        "ON CONFLICT (sink) DO UPDATE SET serving = 1",
        [(sink,) for sink in sinks],
    )
