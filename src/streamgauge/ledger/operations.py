"""What a ledger's writer is asked to do, as values: rows already copied from their records."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from streamgauge.ledger.base import Done, RowRefused
from streamgauge.ledger.rows import Row, Value

__all__ = [
    "AddAttempt",
    "Begin",
    "Close",
    "Committed",
    "Insert",
    "Maintain",
    "Operation",
    "Store",
    "id_of",
    "owed",
]


@dataclass(frozen=True, slots=True)
class Begin:
    """Both rows of an exchange that is about to call its first upstream."""

    request: Row
    attempt: Row
    done: Done


@dataclass(frozen=True, slots=True)
class AddAttempt:
    """The row of a later attempt. `over`: that of the one before, closed."""

    attempt: Row
    done: Done
    over: Row | None = None


@dataclass(frozen=True, slots=True)
class Close:
    """The last word on an exchange and on all its attempts. `rejected`: its status.

    `owed`: it must not be lost; not so the rejection of an exchange whose begin failed.
    """

    request: Row
    attempts: tuple[Row, ...]
    done: Done | None
    rejected: bool = False
    owed: bool = True


@dataclass(frozen=True, slots=True)
class Insert:
    """A rejected request: begun and closed in one row."""

    request: Row
    done: Done | None


Operation = Begin | AddAttempt | Close | Insert


def id_of(operation: Operation) -> Value:
    """Return the id of the exchange that it is about."""
    return (operation.attempt if isinstance(operation, AddAttempt) else operation.request)[0]


def owed(operation: Operation) -> bool:
    """Return whether it must not be lost: rejections, which anyone can cause, are not."""
    match operation:
        case Insert():
            return False
        case Close():
            return operation.owed
        case _:
            return True


@dataclass(frozen=True, slots=True)
class Maintain:
    """Work on the ledger itself (retention, roll-ups), done between two groups.

    `run` gets the connection within a transaction of its own that is committed when it returns and
    rolled back when it raises. Streams' rows wait meanwhile: a call does a bounded piece of work.
    """

    name: str
    run: Callable[[sqlite3.Connection], None]
    done: Done | None = None


@dataclass(frozen=True, slots=True)
class Committed:
    """What one commit did: the rows it changed, and for each operation None or its refusal."""

    refusals: tuple[RowRefused | None, ...]
    rows: int
    double_closes: int


class Store(Protocol):
    """The database behind a writer; called on the writer's thread only."""

    def commit(
        self, operations: Sequence[Operation], *, patient: bool, again: bool = False
    ) -> Committed:
        """Commit all of them, but for those that are refused, in one transaction.

        `patient`: wait the whole busy timeout for another process's lock. `again`: some of them
        may have been committed before, which is no fault and changes nothing. Raises
        LedgerUnavailable when nothing was committed, or when that is not known.
        """

    def maintain(self, run: Callable[[sqlite3.Connection], None]) -> None:
        """Do `run` in a transaction of its own. Raises what it raises, or LedgerUnavailable."""

    def probe(self) -> None:
        """Write and remove a little, to see whether commits are possible, or LedgerUnavailable."""

    def tidy(self, *, idle: bool) -> None:
        """Bound what the database keeps beside itself. `idle`: nobody waits. Never raises."""

    def close(self) -> None:
        """Let the database go. Raises LedgerUnavailable when it could not be put in order."""
