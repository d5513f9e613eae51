"""What a client connection needs to be told and whom it serves. No socket and no parser here."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from streamgauge.gateway.http import Header, Request, RequestHead, Responder

__all__ = ["Application", "ClientSettings", "EarlyAnswer", "OpenConnection", "Phase"]


@dataclass(frozen=True, slots=True)
class ClientSettings:
    """Limits of client connections: sizes in bytes, times in seconds (SPEC §2.4).

    `allowed_hosts` is kept in lower case, IPv6 addresses in brackets. `high_water` bounds our
    write buffer (SPEC §4.3) and the pipelined bytes kept. `idle_seconds`: keep-alive without a
    request. `linger_seconds`: how long a refused client that sends on is ignored before the
    close, so that no reset overtakes its answer. `body_rate`: the least bytes a second of a body,
    looked at over each `body_window` seconds (FAULTS S5): no modem is slower, a dripper is.
    """

    allowed_hosts: Collection[str]
    max_body: int
    header_seconds: float
    body_seconds: float
    write_seconds: float
    half_close: bool
    high_water: int = 64 * 1024
    idle_seconds: float = 75.0
    linger_seconds: float = 2.0
    body_rate: float = 500.0
    body_window: float = 10.0

    def __post_init__(self) -> None:
        hosts = (host.lower() for host in self.allowed_hosts)
        bracketed = frozenset(
            f"[{host}]" if ":" in host and not host.startswith("[") else host for host in hosts
        )
        object.__setattr__(self, "allowed_hosts", bracketed)


@dataclass(frozen=True, slots=True)
class EarlyAnswer:
    """A whole answer given before the request's body is read."""

    status: int
    headers: Sequence[Header]
    body: bytes


class Phase(Enum):
    """What a client connection is doing."""

    IDLE = "idle"
    HEAD = "head"
    """A request's first bytes have come, its head is incomplete."""
    BODY = "body"
    ANSWERING = "answering"
    LINGERING = "lingering"
    """The last answer was given; what still comes is thrown away."""
    CLOSED = "closed"


class OpenConnection(Protocol):
    """What an application may do with a connection it was told of."""

    @property
    def phase(self) -> Phase:
        """What the connection is doing."""

    @property
    def idle_since(self) -> float | None:
        """Monotonic seconds since which it waits for a request; None when it does not."""

    def turn_away(self, answer: EarlyAnswer, *, linger: bool) -> None:
        """Give `answer` to whatever will be asked, and close; `linger`: once it can have been read."""

    def adopt(self, settings: ClientSettings) -> None:
        """Keep to `settings` from the next request on (SPEC §2.6)."""

    def tick(self, now: float) -> None:
        """Keep the deadlines; `now`: monotonic seconds. Call about once a second."""

    def drain(self) -> None:
        """Serve what has begun and nothing after it (SPEC §18.4)."""

    def abort(self) -> None:
        """Drop the connection at once."""


class Application(Protocol):
    """Whom client connections hand their requests to."""

    def accept_head(self, head: RequestHead) -> EarlyAnswer | None:
        """Refuse a request before its body is read, or return None to have it read.

        After a refusal the connection goes on where the whole body had come with the head.
        """

    def handle(self, request: Request, responder: Responder) -> None:
        """Answer `request` through `responder`, now or later."""

    def bad_request(
        self,
        path: str | None,
        status: int,
        code: str,
        message: str,
        head: RequestHead | None,
    ) -> tuple[Sequence[Header], bytes]:
        """Return headers and body of our refusal, in the dialect that `path` looks like.

        `head`: what was read of the request, where that is a whole and legal head; `accept_head`
        may not have seen it. Then there may be a row (SPEC §8.1).
        """

    def request_lost(self, head: RequestHead) -> None:
        """The connection is gone before the body of a request that `accept_head` let pass has come."""

    def connection_opened(self, connection: OpenConnection) -> None:
        """A client has connected."""

    def connection_closed(self, connection: OpenConnection) -> None:
        """The connection is gone. Told once for each `connection_opened`."""
