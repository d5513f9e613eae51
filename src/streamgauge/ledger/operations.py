"""What a ledger's writer is asked to do, as values: rows already copied from their records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from streamgauge.ledger.base import Done, RowRefused
from streamgauge.ledger.rows import Row

__all__ = ["AddAttempt", "Begin", "Close", "Committed", "Insert", "Operation", "Store"]


@dataclass(frozen=True, slots=True)
class Begin:
    """Both rows of an exchange that is about to call its first upstream."""

    request: Row
    attempt: Row
    done: Done


@dataclass(frozen=True, slots=True)
class AddAttempt:
    """The row of a later attempt."""

    attempt: Row
    done: Done


@dataclass(frozen=True, slots=True)
class Close:
    """The last word on an exchange and on all its attempts. `rejected`: its status."""

    request: Row
    attempts: tuple[Row, ...]
    done: Done
    rejected: bool = False


@dataclass(frozen=True, slots=True)
class Insert:
    """A rejected request: begun and closed in one row."""

    request: Row
    done: Done | None


Operation = Begin | AddAttempt | Close | Insert


@dataclass(frozen=True, slots=True)
class Committed:
    """What one commit did: the rows it changed, and for each operation None or its refusal."""

    refusals: tuple[RowRefused | None, ...]
    rows: int
    double_closes: int


class Store(Protocol):
    """The database behind a writer; called on the writer's thread only."""

    def commit(self, operations: Sequence[Operation], *, patient: bool) -> Committed:
        """Commit all of them, but for those that are refused, in one transaction.

        `patient`: wait the whole busy timeout for another process's lock. Raises
        LedgerUnavailable when nothing was committed.
        """

    def probe(self) -> None:
        """Write and remove a little, to see whether commits are possible, or LedgerUnavailable."""

    def close(self) -> None:
        """Let the database go. Raises LedgerUnavailable when it could not be put in order."""
