"""What screens ask a ledger, and what they are told. Knows no database, so that a screen needs none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

__all__ = [
    "LATEST_US",
    "Place",
    "RequestFilter",
    "RequestPage",
    "Session",
    "SessionPage",
    "SessionRows",
    "Speeds",
    "Superseded",
]

Row = dict[str, Any]
"""A row under SPEC §8.3's names, as LedgerReader gives it."""

_MAX_PLACE = 100
LATEST_US = 2**63 - 1
"""What a column of times can hold."""


@dataclass(frozen=True, slots=True)
class Place:
    """Between two rows of a listing, newest first: behind the row with these values.

    With an empty id, behind every row that began at `started_at` (µs since the epoch) or later.
    """

    started_at: int
    id: str = ""

    @classmethod
    def read(cls, text: str) -> Place:
        """Return the place that `str` made `text` of. Raises ValueError."""
        moment, colon, id = text.partition(":")
        if not colon or len(text) > _MAX_PLACE or not moment.isdecimal():
            raise ValueError(text)
        if (started_at := int(moment)) > LATEST_US:
            raise ValueError(text)
        return cls(started_at, id)

    def __str__(self) -> str:
        return f"{self.started_at}:{self.id}"


@dataclass(frozen=True, slots=True)
class RequestFilter:
    """Which rows; empty means all. `model`, `upstream`: globs. `session`, `key`: exactly this one.

    Begun at `since` or later, and before `until`: µs since the epoch. `text` is looked for in ids,
    names and errors.
    """

    statuses: Sequence[str] = ()
    model: str | None = None
    upstream: str | None = None
    key: str | None = None
    session: str | None = None
    since: int | None = None
    until: int | None = None
    text: str | None = None


@dataclass(frozen=True, slots=True)
class RequestPage:
    """Rows, newest first. `next`: where to go on, None at the end.

    `scanned_to`: where the page gave up looking, so that all rows that began at it or later (µs)
    have been looked at; None where it did not.
    """

    rows: list[Row]
    next: Place | None
    scanned_to: int | None = None


@dataclass(frozen=True, slots=True)
class Speeds:
    """Tokens a second of the newest rows of an upstream that have them, in ascending order."""

    generation_tps: tuple[float, ...]
    prompt_tps: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Session:
    """One session: how many requests, when, its last row, and the ids of those in flight."""

    session_id: str
    turns: int
    first_started_at: int
    last: Row
    in_flight: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SessionPage:
    """Sessions, the one heard of last first. `next`: where to go on, in µs; None at the end."""

    sessions: list[Session]
    next: int | None


@dataclass(frozen=True, slots=True)
class Superseded:
    """A row that a newer one of its session ended, `ms` after that one had begun."""

    id: str
    by: str
    ms: float


@dataclass(frozen=True, slots=True)
class SessionRows:
    """The newest rows of one session, oldest first, and how many it has in all."""

    turns: int
    rows: list[Row]
    supersedes: list[Superseded]
