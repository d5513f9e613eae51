"""The seams of the data plane: what a client's request looks like, and what an upstream call tells.

The two connections implement these; relay and server use them. Nothing here knows a dialect.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Protocol

import msgspec

__all__ = [
    "ClientEvents",
    "EndKind",
    "FailKind",
    "Header",
    "Request",
    "RequestHead",
    "Responder",
    "UpstreamCall",
    "UpstreamEvents",
    "request_head",
]

Header = tuple[bytes, bytes]
"""A header field: its name in lower case, and its value without outer white space."""


class RequestHead(msgspec.Struct, frozen=True, eq=False):
    """The request line and headers of one request, checked by the guard; `request_head` makes it.

    `header` returns the first value of a header, by its name in lower case, as latin-1 text, or
    None. Asked a dozen times a request, mostly in vain, it is the look-up itself.
    """

    method: str
    path: str
    query: str
    headers: tuple[Header, ...]
    peer: str
    header: Callable[[bytes], str | None]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RequestHead) and self._stated == other._stated

    def __hash__(self) -> int:
        return hash(self._stated)

    @property
    def _stated(self) -> tuple[object, ...]:
        return self.method, self.path, self.query, self.headers, self.peer


def request_head(
    method: str, path: str, query: str, headers: tuple[Header, ...], peer: str
) -> RequestHead:
    """Return the head of a request from `peer`."""
    first = {name: value.decode("latin-1") for name, value in reversed(headers)}
    return RequestHead(method, path, query, headers, peer, first.get)


class Request(msgspec.Struct, frozen=True):
    """A whole request. `received_at`: monotonic seconds at its last byte."""

    head: RequestHead
    body: bytes
    received_at: float


class ClientEvents(Protocol):
    """What the owner of a response in progress is told by the client's connection."""

    def client_gone(self) -> None:
        """The client sent FIN (unless half_close) or a reset. Told at most once."""

    def client_blocked(self) -> None:
        """The write buffer passed its high-water mark."""

    def client_writable(self) -> None:
        """The write buffer fell below its low-water mark."""


class Responder(Protocol):
    """The answer to one request. After `end` or `abort` every further call does nothing."""

    def subscribe(self, events: ClientEvents) -> None:
        """Tell `events` from now on; a client that has already left is told at once."""

    def send_head(self, status: int, headers: Sequence[Header], length: int | None) -> None:
        """Send the status line and headers. `length` None: chunked (close-delimited on HTTP/1.0)."""

    def send(self, data: bytes) -> None:
        """Hand `data` (never empty) to the socket, framed, in one write."""

    def end(self) -> None:
        """End the body properly; the connection may serve its next request."""

    def abort(self) -> None:
        """Drop the connection at once, without a proper end of the body."""


class EndKind(StrEnum):
    """How an upstream's body ended."""

    COMPLETE = "complete"
    """By its framing (last chunk, length), or by the close of a close-delimited body."""
    CUT = "cut"
    """The connection closed (FIN) before the framing's end, or the inflater's input ended early."""
    RESET = "reset"
    """The connection was reset before the framing's end."""
    PROTOCOL = "protocol"
    """Bytes that are no HTTP body: a bad chunk size, a failed inflation, a cap passed."""


class FailKind(StrEnum):
    """How an upstream call failed before its response head was read."""

    DNS = "dns"
    REFUSED = "refused"
    CONNECT = "connect"
    CONNECT_TIMEOUT = "connect_timeout"
    EXHAUSTED = "exhausted"
    """We have no descriptor left for a socket: nothing is wrong with the upstream."""
    TLS = "tls"
    RESET = "reset"
    CLOSED = "closed"
    PROTOCOL = "protocol"
    CODING = "coding"
    """Its head came, and tells of a content coding that is not undone here."""


class UpstreamEvents(Protocol):
    """What the owner of an upstream call is told, in order: connected, head, data*, then one end."""

    def upstream_connected(self) -> None:
        """A socket is ready (fresh or reused); the request may be sent."""

    def upstream_failed(self, kind: FailKind, message: str, sent: bool) -> None:
        """No head came. `sent`: request bytes had left, so it may have been billed. Terminal."""

    def upstream_head(self, status: int, headers: tuple[Header, ...]) -> None:
        """The final response head (1xx but 101 are skipped)."""

    def upstream_data(self, data: bytes) -> None:
        """Body bytes, framing and content coding removed."""

    def upstream_end(self, kind: EndKind, message: str) -> None:
        """The body is over. Terminal."""


class UpstreamCall(Protocol):
    """One call on an upstream socket."""

    def send(self, data: bytes) -> None:
        """Send the whole request (head and body), once, after `upstream_connected`."""

    def pause(self) -> None:
        """Stop reading from the socket (back-pressure)."""

    def resume(self) -> None:
        """Read on."""

    def close(self) -> None:
        """Close the socket at once; no further event is told. Idempotent, also after the end."""
