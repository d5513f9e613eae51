"""The present as JSON, asked for once a second at most, however many want it. Sends nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from streamgauge import __version__
from streamgauge.control.books import Books, BooksThread
from streamgauge.control.fresh import Fresh
from streamgauge.control.guard import Refused
from streamgauge.control.plane import NotNow, Plane
from streamgauge.control.sums import sum_of
from streamgauge.gateway.live import Live
from streamgauge.gateway.runtime import ConfigState, Runtime
from streamgauge.ledger.rollup import Hours
from streamgauge.ledger.rollup_sql import DAY_US
from streamgauge.ledger.rollup_sums import NOTHING

__all__ = ["Moment", "config_state"]

_LIVE_SECONDS, _SUMMARY_SECONDS, _LABEL_SECONDS = 0.9, 2.0, 5.0
"""A reader that asks each second gets a new snapshot each time, and two get the same one."""
_MINUTE_US = 60_000_000

Page = dict[str, Any]


def config_state(state: ConfigState) -> Page:
    """Return which configuration is in use, and the first problem of a newer one."""
    return {
        "version": state.version,
        "state": state.name,
        "error": state.error,
        "problems": state.problems,
    }


class Moment:
    """The gateway now, for one event loop."""

    def __init__(self, plane: Plane, books: BooksThread) -> None:
        self._plane = plane
        self._books = books
        self._snapshot = Fresh(plane.live, _LIVE_SECONDS, (NotNow,))
        self._runtime = Fresh(plane.runtime, _LIVE_SECONDS, (NotNow,))
        self._labels = Fresh(self._read_labels, _LABEL_SECONDS, (Refused,))
        self._sums = Fresh(self._read_sums, _SUMMARY_SECONDS, (Refused,))

    async def snapshot(self) -> Live:
        """Return the live streams. Raises NotNow."""
        return await self._snapshot.get()

    async def live(self) -> Page:
        """Return the live streams as JSON. Raises NotNow."""
        found, labels = await self.snapshot(), await self.labels()
        rows = [{**row, "key_label": labels.get(row["key_id"] or "")} for row in found.rows]
        return {"at": found.at, "streams": found.streams, "rows": rows}

    async def labels(self) -> Mapping[str, str]:
        """Return the labels of keys by id; none while the ledger cannot be read."""
        try:
            return await self._labels.get()
        except Refused:
            return {}

    async def runtime(self) -> Runtime | None:
        """Return the gateway's numbers, None while the data loop does not answer."""
        try:
            return await self._runtime.get()
        except NotNow:
            return None

    async def summary(self) -> Page:
        """Return the strip of the Live screen. Raises Refused."""
        at, minute, today = await self._sums.get()
        vitals = self._plane.vitals()
        try:
            live: Live | None = await self.snapshot()
        except NotNow:
            live = None
        stats = vitals.ledger
        return {
            "at": at,
            "streams": None if live is None else live.streams,
            "requests_last_minute": minute,
            "tokens_per_second": None if live is None else live.tokens_per_second,
            "today": today,
            "ledger": {
                "healthy": vitals.ledger_healthy,
                "reason": vitals.ledger_reason,
                "queue": stats.queued,
                "spool": stats.spool_bytes,
            },
            "config": config_state(vitals.config),
            "drained": list(vitals.drained),
            "stopping": vitals.stopping,
            "version": __version__,
        }

    async def health(self) -> Page:
        """Return how upstreams and ledger are, in short. Raises NotNow."""
        vitals, runtime = self._plane.vitals(), await self._runtime.get()
        ledger = {"healthy": vitals.ledger_healthy, "reason": vitals.ledger_reason}
        states = {name: asdict(state) for name, state in runtime.upstreams.items()}
        return {"upstreams": states, "ledger": ledger}

    def config(self) -> Page:
        """Return which configuration is in use."""
        return config_state(self._plane.vitals().config)

    async def _read_labels(self) -> Mapping[str, str]:
        return await self._books.ask(lambda books: books.reads.labels())

    async def _read_sums(self) -> tuple[int, int, Page]:
        def ask(books: Books) -> tuple[int, int, Page]:
            now = books.now_us()
            found = books.reads.usage(Hours(now // DAY_US * DAY_US, None), ())
            today = sum_of(found[0] if found else NOTHING)
            return now, books.reads.begun_since(now - _MINUTE_US), today

        return await self._books.ask(ask)
