"""What `top` shows and where it comes from: a gateway's admin API, else its ledger. It draws nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from streamgauge.cli.admin_client import AdminClient, NotNow, NotThere
from streamgauge.core.record import Status

__all__ = ["EitherSource", "GatewaySource", "LedgerSource", "Source", "View"]

_NEWEST = 40
"""Rows asked for: more than are left on a screen beside the streams."""
_MOST_STREAMS = 500
_MINUTE_US = 60_000_000

Page = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class View:
    """One look. `source`: a URL or a file. `gateway`: whether a running one was asked.

    `summary` and `live` are as docs/api.md has them, with None for what a ledger cannot know;
    `live` is None while the gateway does not answer. `ended`: the newest rows that have ended.
    `note`: what the reader should know of all this, or None.
    """

    source: str
    gateway: bool
    summary: Page
    live: Page | None
    ended: Sequence[Page]
    note: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Return it as one JSON object."""
        return asdict(self)


class Source(Protocol):
    """Asked from any thread, one call at a time."""

    def look(self) -> View:
        """Return what there is now. Raises AdminError or LedgerOpenError."""


class GatewaySource:
    """A running gateway. It computes no number: all are the admin API's (SPEC §17.3)."""

    def __init__(self, client: AdminClient) -> None:
        self._client = client

    def look(self) -> View:
        """Ask for three pages."""
        summary = self._client.get("/summary")
        newest = self._client.get("/requests", limit=_NEWEST)["rows"]
        note: str | None = None
        try:
            live: Page | None = self._client.get("/live")
        except NotNow as error:
            live, note = None, str(error)
        return View(self._client.url, True, summary, live, _ended(newest), note)


class LedgerSource:
    """A ledger alone: which requests are open, and the sums of today. `now_us`: the wall clock."""

    def __init__(
        self, path: Path, note: str | None = None, now_us: Callable[[], int] | None = None
    ) -> None:
        self._path = path
        self._note = note
        self._now_us = now_us or (lambda: time.time_ns() // 1000)

    def look(self) -> View:
        """Read the ledger, which is opened anew each time: it may have been replaced."""
        from streamgauge.control.sums import sum_of
        from streamgauge.ledger.questions import RequestFilter
        from streamgauge.ledger.rollup import Hours
        from streamgauge.ledger.rollup_sql import DAY_US
        from streamgauge.ledger.rollup_sums import NOTHING
        from streamgauge.ledger.session_queries import ScreenQueries

        now = self._now_us()
        with ScreenQueries(self._path) as books:
            found = books.usage(Hours(now // DAY_US * DAY_US, None), ())
            in_flight = RequestFilter(statuses=(Status.IN_FLIGHT.value,))
            rows = books.requests(in_flight, _MOST_STREAMS).rows[::-1]
            labels = books.labels()
            streams = [_as_live(row, now, labels) for row in rows]
            newest = books.requests(RequestFilter(), _NEWEST).rows
            minute = books.begun_since(now - _MINUTE_US)
        summary = {
            "at": now,
            "streams": len(streams),
            "requests_last_minute": minute,
            "tokens_per_second": None,
            "today": sum_of(found[0] if found else NOTHING),
            **dict.fromkeys(("ledger", "config", "drained", "stopping", "version")),
        }
        live = {"at": now, "streams": len(streams), "rows": streams}
        return View(str(self._path), False, summary, live, _ended(newest), self._note)


class EitherSource:
    """The gateway where one answers, else the ledger that `ledger` opens then."""

    def __init__(self, gateway: Source, ledger: Callable[[str], Source]) -> None:
        """`ledger` is told why there is no gateway."""
        self._gateway = gateway
        self._ledger = ledger

    def look(self) -> View:
        """Ask the gateway first each time: it may come, and go."""
        try:
            return self._gateway.look()
        except NotThere as error:
            return self._ledger(str(error)).look()


def _ended(rows: Sequence[Page]) -> list[Page]:
    return [row for row in rows if row["status"] != Status.IN_FLIGHT]


def _as_live(row: Page, now: int, labels: Mapping[str, str]) -> Page:
    """Return a row in flight as a stream of the live page; what only a gateway knows is unknown."""
    unknown = dict.fromkeys(("state", "upstream_dialect", "last_frame_ms"))
    return {
        **row,
        **unknown,
        "age_ms": max(now - row["started_at"], 0) / 1000,
        "attempt": row["attempts"],
        "key_label": labels.get(row["key_id"] or ""),
    }
