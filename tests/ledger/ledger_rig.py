"""Records to write, and an owner whose callbacks run where the test waits for them."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from streamgauge.core.record import AttemptRecord, Delivered, ExchangeRecord, Status
from streamgauge.ledger.base import LedgerError

NOW = 1_760_000_000_000_000


def a_record(id: str, **values: Any) -> ExchangeRecord:
    """Return an open record."""
    return ExchangeRecord(**{"id": id, "owner": "boot-1", "started_at": NOW, **values})


def an_attempt(id: str, n: int = 1, **values: Any) -> AttemptRecord:
    """Return an open attempt."""
    plain = {"request_id": id, "n": n, "upstream": "sim", "dialect": "openai", "started_at": NOW}
    return AttemptRecord(**{**plain, **values})


def closed(record: ExchangeRecord, **values: Any) -> ExchangeRecord:
    """Return `record`, completed."""
    record.status, record.success, record.finished_at = Status.COMPLETED, True, NOW + 5_000
    record.delivered, record.usage_source = Delivered.ALL, "provider"
    for name, value in values.items():
        setattr(record, name, value)
    return record


@dataclass
class Owner:
    """The ledger's owner: calls that the writer posts run in `wait`, on the test's thread."""

    calls: SimpleQueue[Callable[[], None]] = field(default_factory=SimpleQueue)
    told: dict[str, list[LedgerError | None]] = field(default_factory=dict)
    batches: list[int] = field(default_factory=list)

    def done(self, name: str) -> Callable[[LedgerError | None], None]:
        """Return a callback that notes the outcome under `name`."""
        return lambda error: self.told.setdefault(name, []).append(error)

    def wait(self, *names: str) -> list[LedgerError | None]:
        """Run calls until each of `names` was told; return the outcomes in order."""
        while not all(name in self.told for name in names):
            self.run_one()
        return [self.told[name][-1] for name in names]

    def run_one(self) -> None:
        """Run one posted call, and note how many callbacks were in it."""
        before = sum(map(len, self.told.values()))
        self.calls.get(timeout=20)()
        self.batches.append(sum(map(len, self.told.values())) - before)


def rows_in(path: Path | str, query: str) -> list[tuple[Any, ...]]:
    """Return what `query` finds in the database at `path`."""
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(query).fetchall()
