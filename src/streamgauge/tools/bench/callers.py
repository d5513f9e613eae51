"""One connection of the bench's load client: sends, reads, has it counted. Knows no command line."""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import cast

from streamgauge.tools.bench.answer import Answer, BadAnswer
from streamgauge.tools.bench.tally import Seen, StreamTally

__all__ = ["Caller", "RequestCaller", "StreamCaller"]


class Caller(asyncio.Protocol, ABC):
    """One connection. Invariant: `over` is done once nothing more will be counted.

    `count`: how many events or answers are expected. `begun` is called at a stream's first event.
    """

    def __init__(self, seen: Seen, request: bytes, count: int, begun: Callable[[], None]) -> None:
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._seen = seen
        self._request = request
        self._count = count
        self._begun = begun
        self._answer = Answer()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self.start()

    @abstractmethod
    def start(self) -> None:
        """Do the first request."""

    def send(self) -> int:
        """Send the request; return when, in monotonic ns."""
        assert self._transport is not None
        self._seen.requests += 1
        self._answer = Answer()
        now = time.monotonic_ns()
        self._transport.write(self._request)
        return now

    def connection_lost(self, exc: Exception | None) -> None:
        if self.over.done():
            return
        try:
            self._answer.closed()
        except BadAnswer as error:
            self.finish(str(exc or error))
        else:
            self.finish(None)

    def data_received(self, data: bytes) -> None:
        now = time.monotonic_ns()
        try:
            body = self._answer.feed(data)
        except BadAnswer as error:
            self.finish(str(error))
            return
        if self._answer.status not in (None, 200):
            said = body[:200].decode(errors="replace")
            self.finish(f"status {self._answer.status}: {said}")
            return
        self._body(body, now)

    @abstractmethod
    def _body(self, body: bytes, now: int) -> None:
        """Count what came of the answer at `now`, monotonic ns."""

    def finish(self, failure: str | None) -> None:
        """Count no more, and close; a `failure` is counted. Only the first call does anything."""
        if self.over.done():
            return
        if failure is not None:
            self._seen.fail(failure)
        self.over.set_result(None)
        if self._transport is not None:
            self._transport.abort()


class StreamCaller(Caller):
    """One stream on a connection of its own."""

    def start(self) -> None:
        self._tally = StreamTally(self._seen, self._count, self.send())

    def _body(self, body: bytes, now: int) -> None:
        tally = self._tally
        if body:
            was_begun = tally.begun
            tally.feed(body, now)
            if not was_begun and tally.begun:
                self._begun()
        if self._answer.done:
            self.finish(None)

    def finish(self, failure: str | None) -> None:
        if not self.over.done():
            self._tally.ended()
        super().finish(failure)


class RequestCaller(Caller):
    """Short requests, one after the other on one connection."""

    def start(self) -> None:
        self._count -= 1
        self._sent_ns = self.send()

    def _body(self, body: bytes, now: int) -> None:
        if not self._answer.done:
            return
        self._seen.answers_ns.append(now - self._sent_ns)
        if self._count:
            self.start()
        else:
            self.finish(None)
