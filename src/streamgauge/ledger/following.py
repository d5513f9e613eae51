"""Follows a ledger as its gateway writes it: rows begun, rows closed. Waits for nothing itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from streamgauge.core.record import Status
from streamgauge.ledger.base import LedgerForeign, LedgerMissing
from streamgauge.ledger.presence import is_there
from streamgauge.ledger.reader import MOST_ROWS, LedgerReader
from streamgauge.ledger.schema import opening

__all__ = ["FollowedFile", "Follower"]

Row = dict[str, Any]

_AT_ONCE = 500
"""Ids asked for in one query; SQLite's oldest builds take 999 values."""


class Follower(LedgerReader):
    """Tells each row once when it is seen to begin, and once when it has closed.

    A row that has done both since the last look is told once, closed. The place is kept by the
    last row's id: numbers of rows change when a ledger is vacuumed.
    """

    def __init__(self, path: Path | str) -> None:
        """Open, or raise what LedgerReader raises."""
        super().__init__(path)
        self._version: int | None = None
        self._last_id: str | None = None
        self._open: set[str] = set()

    def skip_to(self, count: int) -> list[Row]:
        """Return the newest `count` closed rows and those in flight; pass over all older ones."""
        self._version = self._data_version()
        tail = " WHERE status <> 'in_flight' ORDER BY rowid DESC LIMIT ?"
        with self.snapshot():
            told = list(self._select(tail, [min(count, MOST_ROWS)]))
            told += self._rows_of(self._in_flight())
            newest = self._connection.execute("SELECT id FROM requests ORDER BY rowid DESC LIMIT 1")
            self._last_id = next((row[0] for row in newest), None)
        self._open = _ids_in_flight(told)
        return sorted(told, key=_moment)

    def changes(self) -> list[Row]:
        """Return what began or closed since the last look, in the order of its happening."""
        if self._frozen:
            self._look_afresh()
        version = self._data_version()
        if version == self._version:
            return []
        self._version = version
        with self.snapshot():
            begun = list(self._begun())
            still = self._in_flight()
            ended = list(self._rows_of(self._open - still))
        if begun:
            self._last_id = begun[-1]["id"]
        self._open = self._open & still | _ids_in_flight(begun)
        return sorted([*begun, *ended], key=_moment)

    def _look_afresh(self) -> None:
        """Open again what was opened as if nobody ever wrote there: a gateway may have started since."""
        self._connection.close()
        with opening(self._path):
            self._connection = self._connect()
        self._version = None

    def _data_version(self) -> int:
        with opening(self._path):
            return int(self._connection.execute("PRAGMA data_version").fetchone()[0])

    def _in_flight(self) -> set[str]:
        with opening(self._path):
            # The index of open rows answers this, however long the ledger is.
            query = "SELECT id FROM requests WHERE status = 'in_flight'"
            return {row[0] for row in self._connection.execute(query)}

    def _begun(self) -> Iterator[Row]:
        """Yield the rows behind the last one. Where that is gone by age, so is all before it."""
        tail = " WHERE rowid > ifnull((SELECT rowid FROM requests WHERE id = ?), 0) ORDER BY rowid"
        for row in self._select(tail, [self._last_id]):
            if row["id"] not in self._open:
                yield row

    def _rows_of(self, ids: Iterable[str]) -> Iterator[Row]:
        left = iter(ids)
        while some := list(islice(left, _AT_ONCE)):
            marks = ", ".join("?" * len(some))
            yield from self._select(f" WHERE id IN ({marks})", some)


def _ids_in_flight(rows: Iterable[Row]) -> set[str]:
    return {row["id"] for row in rows if row["status"] == Status.IN_FLIGHT}


def _moment(row: Row) -> int:
    finished: int | None = row["finished_at"]
    started: int = row["started_at"]
    return started if finished is None else finished


class FollowedFile:
    """A ledger by its path: it may appear later, and be replaced by another file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._follower: Follower | None = None
        self._identity: tuple[int, int] | None = None
        self._seen_before = False

    def close(self) -> None:
        """Let the file go."""
        if self._follower is not None:
            self._follower.__exit__(None, None, None)
            self._follower = None

    @property
    def there(self) -> bool:
        """Whether there was a ledger at the last look."""
        return self._follower is not None

    def look(self, first: int = 0) -> list[Row]:
        """Return what is new; of a ledger that is there at the first look, its last `first` rows.

        Those in flight are told, too. Of a ledger that comes later all rows are new.
        Raises LedgerOpenError's kinds for a file that is no ledger; one that is missing is waited
        for.
        """
        identity = self._identify()
        if identity != self._identity:
            self.close()
            self._identity = None
        follower = self._opened(identity)
        at_start, self._seen_before = not self._seen_before, True
        if follower is None:
            return []
        if identity == self._identity:
            return follower.changes()
        self._identity = identity
        return follower.skip_to(first) if at_start else follower.changes()

    def _identify(self) -> tuple[int, int] | None:
        try:
            found = self._path.stat()
        except OSError:
            is_there(self._path)  # raises where nobody can tell
            return None
        return found.st_dev, found.st_ino

    def _opened(self, identity: tuple[int, int] | None) -> Follower | None:
        if identity is None or self._follower is not None:
            return self._follower
        try:
            self._follower = Follower(self._path)
        except LedgerMissing:
            return None
        except LedgerForeign:
            if not self._unwritten():
                raise
            return None  # A gateway is about to make its tables.
        return self._follower

    def _unwritten(self) -> bool:
        """Whether the file has no table yet, of anyone."""
        return self._path.stat().st_size == 0
