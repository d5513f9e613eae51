"""Tells readers what changes, as server-sent events. It asks nothing while nobody reads.

One task asks for all of them; a reader that is slow misses snapshots, never the newest one.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import deque
from collections.abc import AsyncIterator
from typing import Any

from streamgauge.control.api_requests import with_labels
from streamgauge.control.books import Books, BooksThread
from streamgauge.control.guard import Refused
from streamgauge.control.moment import Moment
from streamgauge.control.plane import NotNow

__all__ = ["MOST_READERS", "Events"]

_log = logging.getLogger(__name__)

MOST_READERS = 32
"""Each holds a connection of the listener's 128, and metrics must not be refused."""
_EACH_SECONDS = 1.0
_SELDOM = 5
"""Rounds between two summaries, and between two snapshots of which nothing runs."""
_MOST_ROWS = 200
"""Closed rows of one event; whoever looks at more reads the page."""
_WAITING_EVENTS = 8
_SILENCE_SECONDS = 15.0

Page = dict[str, Any]


class _Reader:
    """What one reader has yet to be sent: the newest of each kind, and the closed rows."""

    def __init__(self) -> None:
        self._newest: dict[str, bytes] = {}
        self._closed: deque[bytes] = deque()
        self._waiting = asyncio.Event()
        self._ended = False

    def end(self) -> None:
        self._ended = True
        self._waiting.set()

    def put(self, name: str, event: bytes) -> None:
        if name != "closed":
            self._newest[name] = event
        elif len(self._closed) < _WAITING_EVENTS:
            self._closed.append(event)
        else:
            self._closed[-1] = _event("closed", {"rows": [], "more": True})
        self._waiting.set()

    async def take(self) -> bytes | None:
        """Return what there is, waiting for it; a comment after a silence; None: no more will come."""
        if self._ended:
            return None
        try:
            async with asyncio.timeout(_SILENCE_SECONDS):
                await self._waiting.wait()
        except TimeoutError:
            return b": still here\n\n"
        self._waiting.clear()
        found = b"".join([*self._newest.values(), *self._closed])
        self._newest.clear()
        self._closed.clear()
        return found


class Events:
    """All readers of one event loop."""

    def __init__(self, moment: Moment, books: BooksThread) -> None:
        self._moment = moment
        self._books = books
        self._readers: set[_Reader] = set()
        self._telling: asyncio.Task[None] | None = None
        self._told: dict[str, Page] = {}
        self._seq: int | None = None

    def watch(self) -> AsyncIterator[bytes]:
        """Return what a new reader is sent, until it leaves. Raises NotNow beyond MOST_READERS."""
        if len(self._readers) >= MOST_READERS:
            raise NotNow(f"{MOST_READERS} readers of events are there already")
        return self._watch()

    async def _watch(self) -> AsyncIterator[bytes]:
        reader = _Reader()
        for name, page in self._told.items():
            reader.put(name, _event(name, page))
        self._readers.add(reader)
        if self._telling is None or self._telling.done():
            self._telling = asyncio.create_task(self._tell(), name="events")
            self._telling.add_done_callback(self._told_all)
        try:
            yield b"retry: 2000\n\n"
            while (found := await reader.take()) is not None:
                yield found
        finally:
            self._readers.discard(reader)
            if not self._readers and self._telling is not None:
                self._telling.cancel()
                self._telling = None
                self._told.clear()
                self._seq = None

    def _told_all(self, telling: asyncio.Task[None]) -> None:
        """After a fault of ours end what readers wait for: they come again, and begin it anew."""
        if telling.cancelled() or (fault := telling.exception()) is None:
            return
        _log.error("the events have ended by a fault", exc_info=fault)
        for reader in self._readers:
            reader.end()

    async def _tell(self) -> None:
        loop, round_ = asyncio.get_running_loop(), 0
        while True:
            began = loop.time()
            await self._round(round_)
            round_ += 1
            # A clock, not a wait for something: rounds come once a second.
            await asyncio.sleep(max(0.0, began + _EACH_SECONDS - loop.time()))

    async def _round(self, round_: int) -> None:
        seldom = round_ % _SELDOM == 0
        try:
            live = await self._moment.live()
            if live["rows"] or seldom or self._told.get("live", live)["rows"]:
                self._send("live", live)
            self._send_changed("health", await self._moment.health())
            self._told.pop("gone", None)
        except NotNow as error:
            self._send_changed("gone", {"message": str(error)})
        self._send_changed("config", self._moment.config())
        try:
            await self._send_closed()
            if seldom:
                self._send("summary", await self._moment.summary())
        except Refused as error:
            self._send_changed("gone", {"message": str(error)})

    async def _send_closed(self) -> None:
        seq = self._seq

        def ask(books: Books) -> tuple[int, list[Page], bool]:
            last = books.reads.last_closing()
            if seq is None or last <= seq:
                return last, [], False
            if last - seq > _MOST_ROWS:
                return last, [], True
            upto, rows = books.reads.closed_after(seq, _MOST_ROWS)
            return upto, with_labels(rows, books.reads.labels()), False

        self._seq, rows, more = await self._books.ask(ask)
        if rows or more:
            self._broadcast("closed", _event("closed", {"rows": rows, "more": more}))

    def _send_changed(self, name: str, page: Page) -> None:
        if self._told.get(name) != page:
            self._send(name, page)

    def _send(self, name: str, page: Page) -> None:
        self._told[name] = page
        self._broadcast(name, _event(name, page))

    def _broadcast(self, name: str, event: bytes) -> None:
        for reader in self._readers:
            reader.put(name, event)


def _event(name: str, page: Page) -> bytes:
    return f"event: {name}\ndata: {json.dumps(page)}\n\n".encode()
