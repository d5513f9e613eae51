"""What the control plane asks of a ledger, and the one thread that asks it. Knows no database."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from streamgauge.control.guard import Refused
from streamgauge.core.keys import Caller
from streamgauge.ledger.base import LedgerError
from streamgauge.ledger.questions import (
    Place,
    RequestFilter,
    RequestPage,
    SessionPage,
    SessionRows,
    Speeds,
)
from streamgauge.ledger.rollup import By, Hours, Metric, TimesBy
from streamgauge.ledger.rollup_sums import TimesSum, UsageSum

__all__ = ["Books", "BooksThread", "KeyGone", "LedgerFile", "Reads", "UnknownModel"]

_ANSWER_SECONDS = 15.0
"""A disk that takes longer has a page of its own: `/health` and the log."""

Row = dict[str, Any]
T = TypeVar("T")


class KeyGone(Exception):
    """No such key, or revoked for good, or unfit with what it has already; the message says which."""


@dataclass(frozen=True, slots=True)
class LedgerFile:
    """The ledger on the disk, in bytes; `schema`: the number of its newest migration."""

    path: str
    bytes: int | None
    wal_bytes: int | None
    schema: int


@dataclass(frozen=True, slots=True)
class UnknownModel:
    """A model that had exchanges without a cost and has no price now, and how to give it one."""

    upstream: str
    kind: str
    model: str
    exchanges: int
    snippet: str


class Reads(Protocol):
    """Reads a ledger, each in bounded time. Every method may raise LedgerError."""

    def requests(
        self, wanted: RequestFilter, limit: int, after: Place | None = None
    ) -> RequestPage:
        """Return a page of rows, newest first."""

    def exchange(self, id: str) -> tuple[Row, list[Row]] | None:
        """Return the row with this id and its attempts, or None."""

    def usage(self, hours: Hours, by: Sequence[By]) -> list[UsageSum]:
        """Return the sums by group, from the roll-ups."""

    def times(self, metric: Metric, hours: Hours, by: Sequence[TimesBy]) -> list[TimesSum]:
        """Return the times by group, from the roll-ups."""

    def sessions(
        self, limit: int, before: int | None = None, since: int | None = None
    ) -> SessionPage:
        """Return sessions, the one heard of last first."""

    def session_usage(self, session_id: str, turns: int) -> UsageSum | None:
        """Return the sums of a session, None for one of too many turns."""

    def session(self, session_id: str) -> SessionRows | None:
        """Return the newest rows of a session, or None without such a session."""

    def speeds(self, since: int) -> dict[str, Speeds]:
        """Return the speeds of the newest rows, by upstream."""

    def labels(self) -> dict[str, str]:
        """Return the labels of all client keys, by id."""

    def begun_since(self, moment: int) -> int:
        """Return how many requests began at `moment` (µs) or later."""

    def oldest_at(self) -> int | None:
        """Return when the oldest row began."""

    def last_closing(self) -> int:
        """Return the number of the newest closing."""

    def closed_after(self, seq: int, limit: int) -> tuple[int, list[Row]]:
        """Return the rows of the next closings, and the last one's number."""


class Books(Protocol):
    """The ledger of one gateway, for one thread. Every method may raise LedgerError."""

    @property
    def reads(self) -> Reads:
        """The ledger, open."""

    def file(self) -> LedgerFile:
        """Return what is known of the file."""

    def now_us(self) -> int:
        """Return the wall clock in µs since the epoch."""

    def unknown_models(self, since: int) -> list[UnknownModel]:
        """Return the models without a price that were used at `since` (µs) or later."""

    def currencies(self) -> set[str]:
        """Return the currencies that a call may cost at present."""

    def keys(self) -> list[dict[str, Any]]:
        """Return all client keys as JSON, the oldest first: never a key itself."""

    def create_key(self, caller: Caller, expires_at: int | None) -> Mapping[str, str]:
        """Make a key; return id, key and label. The only time that the key is told."""

    def rotate_key(self, key_id: str, grace_seconds: float) -> Mapping[str, str]:
        """Give a key a new text; return as `create_key`. Raises KeyGone."""

    def revoke_key(self, key_id: str) -> None:
        """Let a key open nothing any more. Raises KeyGone."""

    def change_key(self, key_id: str, changes: dict[str, Any]) -> None:
        """Set columns of a key. Raises KeyGone."""

    def close(self) -> None:
        """Let the ledger go."""


class BooksThread:
    """Asks `Books` from an event loop, one question after the other, in a thread of its own."""

    def __init__(self, books: Books) -> None:
        self._books = books
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="control books")

    async def ask(self, question: Callable[[Books], T]) -> T:
        """Return the answer to `question`, which must not keep the books. Raises Refused: 503."""
        loop = asyncio.get_running_loop()
        try:
            asked = loop.run_in_executor(self._thread, question, self._books)
        except RuntimeError as error:  # closed: the gateway ends
            raise Refused(503, "the gateway is shutting down") from error
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                return await asked
        except TimeoutError:
            raise Refused(503, f"the ledger did not answer within {_ANSWER_SECONDS:g} s") from None
        except LedgerError as error:
            raise Refused(503, f"the ledger cannot be read: {error}") from error

    def close(self) -> None:
        """Answer what was asked, let the ledger go, and end. Blocks."""
        self._thread.submit(self._books.close)
        self._thread.shutdown()
