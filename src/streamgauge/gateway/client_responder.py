"""The answer to one request, framed for its client's socket. Knows no dialect and no reading."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Protocol

from streamgauge.gateway.chunks import LAST_CHUNK, SIZE_LINES, USUAL, one_chunk
from streamgauge.gateway.http import ClientEvents, Header
from streamgauge.gateway.http_text import BodyFraming, field_lines, framing_of, render_head

__all__ = ["ClientResponder", "ResponderState", "Wire"]


class Wire(Protocol):
    """What a responder needs of its connection."""

    def write(self, data: bytes) -> None:
        """Hand `data` to the socket."""

    def answered(self, keep_alive: bool) -> None:
        """The answer ended properly; the connection may go on if `keep_alive`."""

    def abort(self) -> None:
        """Drop the connection at once."""


class ResponderState(Enum):
    """How far an answer has come."""

    WAITING = "waiting"
    """No head was given."""
    OPEN = "open"
    DONE = "done"
    """Ended, aborted, or its client is gone: every call does nothing."""


class ClientResponder:
    """Implements `gateway.http.Responder`. Each call makes at most one write.

    The head is kept back and leaves in one write with the first `send` or the `end`: every answer
    has one of the two, and a packet is saved. Where neither may follow for a while, call `flush`.
    `client_blocked` may be told from within `send`. `gone`: the client left before the end;
    `slow_reader`: because it read nothing for `write_seconds`; it is set before `client_gone`.
    """

    __slots__ = (
        "__weakref__",
        "_blocked",
        "_events",
        "_framing",
        "_head",
        "_keep_alive",
        "_left",
        "_live",
        "_method",
        "_minor",
        "_state",
        "_wire",
        "gone",
        "slow_reader",
    )

    def __init__(self, wire: Wire, method: str, minor: int, keep_alive: bool) -> None:
        self._wire: Wire | None = wire
        self._method = method
        self._minor = minor
        self._keep_alive = keep_alive
        self._state = ResponderState.WAITING
        self._events: ClientEvents | None = None
        self._framing = BodyFraming.NONE
        self._head = b""
        self._left = 0
        self._live = False  # chunks follow a head that has left
        self._blocked = False
        self.gone = False
        self.slow_reader = False

    def __repr__(self) -> str:
        return f"<ClientResponder {self._method} {self._state.value} on {self._wire!r}>"

    @property
    def state(self) -> ResponderState:
        """How far the answer has come."""
        return self._state

    @property
    def unsent(self) -> bool:
        """Whether no byte of this answer has left, so that another can take its place."""
        return self._state is ResponderState.WAITING or bool(self._head)

    def subscribe(self, events: ClientEvents) -> None:
        """Tell `events` from now on; a client already gone or blocked is told at once."""
        if self.gone:
            events.client_gone()
        elif self._state is not ResponderState.DONE:
            self._events = events
            if self._blocked:
                events.client_blocked()

    def send_head(self, status: int, headers: Sequence[Header], length: int | None) -> None:
        """Set status line and headers; see the class for when they leave.

        `length`: of the body in bytes; None: chunked, or close-delimited on HTTP/1.0. Connection,
        Content-Length and Transfer-Encoding fields are written here and ignored in `headers`, but
        `Connection: close` there closes. Raises RuntimeError on a second head, ValueError on a
        header that holds a line end.
        """
        if self._state is ResponderState.DONE:
            return
        if self._state is ResponderState.OPEN:
            raise RuntimeError("the head was sent already")
        framing = framing_of(self._method, self._minor, status, length)
        lines, closes = field_lines(headers)
        if closes or framing is BodyFraming.CLOSE:
            self._keep_alive = False
        self._head = render_head(status, lines, framing, length, keep_alive=self._keep_alive)
        self._framing = framing
        self._left = length if framing is BodyFraming.LENGTH and length is not None else 0
        self._state = ResponderState.OPEN

    def send(self, data: bytes) -> None:
        """Hand `data` to the socket in one write. Raises RuntimeError before `send_head`.

        What goes beyond the stated length is not sent, and the connection is then not reused.
        """
        if self._live and data and (wire := self._wire) is not None:
            # Measured: at a frame each, the call of `one_chunk` is worth saving.
            usual = (size := len(data)) < USUAL
            wire.write(b"".join((SIZE_LINES[size], data, b"\r\n")) if usual else one_chunk(data))
            return
        if self._state is ResponderState.DONE or not data:
            return
        if self._state is ResponderState.WAITING:
            raise RuntimeError("send_head comes first")
        self._live = self._framing is BodyFraming.CHUNKED
        match self._framing:
            case BodyFraming.CHUNKED:
                data = one_chunk(data)
            case BodyFraming.LENGTH:
                if len(data) > self._left:
                    self._keep_alive = False
                    data = data[: self._left]
                self._left -= len(data)
            case BodyFraming.NONE:
                data = b""
            case BodyFraming.CLOSE:
                pass
        if self._head:
            data = self._head + data
            self._head = b""
        if data and self._wire is not None:
            self._wire.write(data)

    def flush(self) -> None:
        """Send the head now, without body bytes."""
        head, self._head = self._head, b""
        if head and self._wire is not None:
            self._wire.write(head)

    def end(self) -> None:
        """End the body; if a stated length was not reached, drop the connection instead."""
        if self._state is ResponderState.DONE:
            return
        if self._state is ResponderState.WAITING:
            raise RuntimeError("send_head comes first")
        if self._left:
            self.abort()
            return
        tail = self._head + (LAST_CHUNK if self._framing is BodyFraming.CHUNKED else b"")
        wire = self.detach()
        if wire is None:
            return
        if tail:
            wire.write(tail)
        wire.answered(self._keep_alive)

    def abort(self) -> None:
        """Drop the connection at once; `client_gone` is not told to the one who asked for it."""
        wire = self.detach()
        if wire is not None:
            wire.abort()

    def detach(self) -> Wire | None:
        """Become done without a word; return the connection, or None if done before."""
        wire, self._wire = self._wire, None
        self._events = None
        self._head = b""
        self._live = False
        self._state = ResponderState.DONE
        return wire

    def lost(self) -> None:
        """The connection says: the client is gone."""
        events = self._events
        if self.detach() is None:
            return
        self.gone = True
        if events is not None:
            events.client_gone()

    def blocked(self) -> None:
        """The connection says: its write buffer is full."""
        self._blocked = True
        if self._events is not None:
            self._events.client_blocked()

    def writable(self) -> None:
        """The connection says: its write buffer has drained."""
        self._blocked = False
        if self._events is not None:
            self._events.client_writable()
