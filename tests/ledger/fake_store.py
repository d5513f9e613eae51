"""A store that fails, waits and notes as it is told, and operations for it."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Sequence

from streamgauge.ledger.base import LedgerUnavailable
from streamgauge.ledger.operations import Begin, Close, Committed, Operation

from .ledger_rig import Owner

__all__ = ["FakeStore", "begin", "close", "committed"]


class FakeStore:
    """Notes each commit; `broken` makes it fail, `gate` makes it wait."""

    def __init__(self) -> None:
        self.broken = threading.Event()
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Semaphore(0)
        self.groups: list[list[Operation]] = []
        self.probed = threading.Semaphore(0)
        self.healed = threading.Event()
        self.patience: list[bool] = []
        self.closed = False
        self.chores: list[int] = []
        self.connection = sqlite3.connect(":memory:", check_same_thread=False)
        self.tidied, self.idled = threading.Semaphore(0), threading.Semaphore(0)

    def commit(
        self, operations: Sequence[Operation], *, patient: bool, again: bool = False
    ) -> Committed:
        self.entered.release()
        self.gate.wait(20)
        self.patience.append(patient)
        if self.broken.is_set():
            raise LedgerUnavailable("database or disk is full")
        self.groups.append(list(operations))
        return Committed((None,) * len(operations), len(operations), 0)

    def probe(self) -> None:
        self.probed.release()
        if self.broken.is_set():
            raise LedgerUnavailable("database or disk is full")
        self.healed.set()

    def maintain(self, run: Callable[[sqlite3.Connection], None]) -> None:
        self.chores.append(len(self.groups))
        run(self.connection)

    def tidy(self, *, idle: bool) -> None:
        (self.idled if idle else self.tidied).release()

    def close(self) -> None:
        self.closed = True


def begin(owner: Owner, id: str) -> Begin:
    """Return a begin of `id`."""
    return Begin((id,), (id, 1), owner.done(f"begin {id}"))


def close(owner: Owner, id: str, *, rejected: bool = False) -> Close:
    """Return a close of `id`."""
    return Close((id,), (), owner.done(f"close {id}"), rejected)


def committed(store: FakeStore) -> list[Operation]:
    """Return what the store committed, in order."""
    return [operation for group in store.groups for operation in group]
