"""One call on an upstream: bytes out once, answer told in order. Knows no route, no dialect."""

from __future__ import annotations

import asyncio
from typing import Protocol

from streamgauge.gateway.call_state import CallState, asks_close, ending_by_loss
from streamgauge.gateway.chunks import whole_chunk
from streamgauge.gateway.dial import Target
from streamgauge.gateway.http import EndKind, FailKind, UpstreamEvents
from streamgauge.gateway.inflate import InflateError, Inflater, inflating
from streamgauge.gateway.response_reader import (
    SWITCHING_PROTOCOLS,
    ReaderState,
    ResponseError,
    ResponseHead,
    ResponseReader,
)
from streamgauge.gateway.upstream_connection import UpstreamConnection

__all__ = ["CallState", "ConnectionSource", "PooledCall"]

# Read for every arrival: off its class an Enum's member takes a look-up each time.
_OPENING = CallState.OPENING
_OPEN = CallState.OPEN
_SENT = CallState.SENT
_BODY = CallState.BODY
_DONE = CallState.DONE
_READING = ReaderState.BODY
_ALL_READ = ReaderState.COMPLETE
_COMPLETE = EndKind.COMPLETE


class ConnectionSource(Protocol):
    """Where a call gets its connections, and gives them back."""

    def connect(self, call: PooledCall) -> None:
        """Open a fresh connection and `attach` it, or call `fail`."""

    def abandon(self, call: PooledCall) -> None:
        """Stop the connecting that `connect` began, if it still runs."""

    def release(self, connection: UpstreamConnection) -> None:
        """Keep `connection` for a later call."""

    def discard(self, connection: UpstreamConnection | None, events: UpstreamEvents) -> None:
        """Close a connection, if there is one, in the midst of what `events` is told."""


class PooledCall:
    """An UpstreamCall. In DONE nothing more is told, and it has no connection."""

    __slots__ = (
        "_connection",
        "_ending",
        "_events",
        "_inflater",
        "_last",
        "_loop",
        "_paused",
        "_reader",
        "_request",
        "_source",
        "state",
        "target",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        source: ConnectionSource,
        events: UpstreamEvents,
        target: Target,
    ) -> None:
        """`target`: where `source` connects this call to."""
        self.target = target
        self._loop = loop
        self._source = source
        self._events = events
        self.state: CallState = _OPENING
        self._connection: UpstreamConnection | None = None
        self._request: bytes | None = None
        self._last = False
        self._reader: ResponseReader | None = None
        self._inflater: Inflater | None = None
        self._ending: tuple[EndKind, str] | None = None
        self._paused = False

    def __repr__(self) -> str:
        return f"<PooledCall {self.state.value}{' paused' * self._paused} {self.target.label}>"

    def send(self, data: bytes) -> None:
        """Send the whole request; kept until an answer byte comes, for a resend (SPEC §3.5)."""
        if self.state is _DONE:
            return
        if self.state is not _OPEN or self._request is not None:
            raise RuntimeError("send comes once, after upstream_connected")
        self._request = data
        self._last = asks_close(data)
        if self._connection is not None:
            self._write(self._connection, data)

    def pause(self) -> None:
        """Stop reading; of what was read already, what needs no inflating is still told."""
        if self._paused or self.state is _DONE:
            return
        self._paused = True
        if self._connection is not None:
            self._connection.pause()

    def resume(self) -> None:
        """Read on."""
        if not self._paused:
            return
        self._paused = False
        if self._inflater is not None:
            # Decoded bytes may wait: told from the loop, never inside the owner's own call.
            self._loop.call_soon(self._tell_waiting)
        elif self._connection is not None:
            self._connection.resume()

    def close(self) -> None:
        """Close the socket at once; no further event is told."""
        if self.state is _DONE:
            return
        connection = self._finish()
        self._source.abandon(self)
        self._source.discard(connection, self._events)

    def attach(self, connection: UpstreamConnection) -> None:
        """Use `connection`: tell the owner (soon, when reused, so that it has its handle first)."""
        self._connection = connection
        connection.user = self
        if self._paused:
            connection.pause()
        if self._request is not None:
            self._write(connection, self._request)
        elif connection.reused:
            self._loop.call_soon(self._tell_connected)
        else:
            self._tell_connected()

    def fail(self, kind: FailKind, message: str) -> None:
        """End without a head: no fresh connection could be had, or no answer came on it."""
        sent = self.state is _SENT
        connection = self._finish()
        if connection is not None:
            connection.abort()
        self._events.upstream_failed(kind, message, sent)

    def received(self, data: bytes) -> None:
        """Read the answer on, and tell what it gave."""
        reader = self._reader
        if reader is None:
            self._unasked()
            return
        if reader.between and self.state is _BODY and self._inflater is None:
            body = whole_chunk(data)
            if body is not None:  # most reads of a stream
                self._events.upstream_data(body)
                return
        self._request = None
        fault = None
        try:
            reader.feed(data)
        except ResponseError as error:
            fault = str(error)
        if self.state is _SENT:
            if reader.head is not None:
                self._begin_body(reader.head)
            elif fault is not None:
                self.fail(FailKind.PROTOCOL, fault)
        if self.state is _BODY:
            self._read_body(reader, fault)

    def lost(self, kind: FailKind, message: str, *, orderly: bool) -> None:
        """The connection is gone: the end of the body, a stale reuse, or a failure."""
        connection, self._connection = self._connection, None
        if self.state is _BODY:
            if self._ending is None:
                until_close = self._reader is not None and self._reader.until_close
                self._ending = ending_by_loss(kind, message, proper=orderly and until_close)
            self._settle()
            return
        unanswered = self._reader is None or not self._reader.started
        if connection is not None and connection.reused and unanswered and kind is not FailKind.TLS:
            self._source.connect(self)
        elif unanswered or kind is not FailKind.CLOSED:
            self.fail(kind, message)
        else:
            self.fail(FailKind.PROTOCOL, "the response head was cut")

    def _tell_connected(self) -> None:
        if self.state is _OPENING and self._connection is not None:
            self.state = _OPEN
            self._events.upstream_connected()

    def _write(self, connection: UpstreamConnection, data: bytes) -> None:
        self.state = _SENT
        self._reader = ResponseReader(head_only=data.startswith(b"HEAD "))
        if not connection.reused:
            self._request = None
        connection.write(data)

    def _unasked(self) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        connection.abort()
        if connection.reused:
            self._source.connect(self)
        else:
            self.fail(FailKind.PROTOCOL, "the upstream answered before it was asked")

    def _begin_body(self, head: ResponseHead) -> None:
        headers = head.headers
        if head.has_body:
            try:
                self._inflater, headers = inflating(headers, head.status)
            except InflateError as error:
                self.fail(FailKind.CODING, str(error))
                return
        if head.status == SWITCHING_PROTOCOLS:
            self._ending = (EndKind.PROTOCOL, "the upstream switched protocols unasked")
        self.state = _BODY
        self._events.upstream_head(head.status, headers)

    def _read_body(self, reader: ResponseReader, fault: str | None) -> None:
        data = reader.take()
        if self._inflater is None and fault is None and reader.state is _READING:
            if data:
                self._events.upstream_data(data)
            return
        if self._ending is None and fault is not None:
            self._ending = EndKind.PROTOCOL, fault
        elif self._ending is None and reader.state is _ALL_READ:
            self._ending = _COMPLETE, ""
        if self._inflater is not None:
            self._inflater.feed(data)
        elif data:
            self._events.upstream_data(data)
        self._settle()

    def _settle(self) -> None:
        # Body bytes first, then the end. While paused, decoded bytes wait, and the end behind them.
        if self._inflater is not None and not self._pump(self._inflater):
            return
        if self.state is _BODY and self._ending is not None:
            self._end(*self._ending)

    def _pump(self, inflater: Inflater) -> bool:
        while self.state is _BODY:
            if self._paused:
                return False
            try:
                piece = inflater.read()
            except InflateError as error:
                self._ending = (EndKind.PROTOCOL, str(error))
                return True
            if not piece:
                break
            self._events.upstream_data(piece)
        if self._ending is not None and self._ending[0] is _COMPLETE and not inflater.at_end:
            self._ending = (EndKind.CUT, "the compressed body ended early")
        return True

    def _tell_waiting(self) -> None:
        if self._paused or self.state is not _BODY:
            return
        self._settle()
        if not self._paused and self._connection is not None:
            self._connection.resume()

    def _end(self, kind: EndKind, message: str) -> None:
        keep = kind is _COMPLETE and self._may_keep()
        connection = self._finish()
        if connection is not None and keep:
            self._source.release(connection)
        elif connection is not None:
            connection.abort()
        self._events.upstream_end(kind, message)

    def _may_keep(self) -> bool:
        # A request still being written means that the answer came early: the rest would follow it.
        reader, connection = self._reader, self._connection
        if reader is None or reader.head is None or connection is None or self._last:
            return False
        return reader.head.reusable and not reader.surplus and not connection.unsent

    def _finish(self) -> UpstreamConnection | None:
        self.state = _DONE
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.user = None
        if self._reader is not None:
            self._reader.release()
        self._request = None
        self._inflater = None
        return connection
