"""How an exchange stands and how it ends: states, verdicts, and the table that makes them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from streamgauge.core.errors import ErrorCode, GatewayError
from streamgauge.core.record import Status

__all__ = [
    "BROKEN",
    "CLIENT_LEFT",
    "COMPLETED",
    "FAILED",
    "FINISHED_WITHOUT_MARKER",
    "LEDGER_UNAVAILABLE",
    "OVERLOADED",
    "SHUTDOWN",
    "STOPPED",
    "SUPERSEDED",
    "Breaking",
    "State",
    "Verdict",
    "after_end",
    "failed",
    "limit_reached",
    "protocol_error",
    "refused",
    "timed_out",
]


_PASSING = frozenset({408, 429})
"""Client errors that blame the moment, not the request."""


class Breaking(Enum):
    """How much is still done where a fault of ours ends an exchange: each way less than the one before."""

    TOLD = auto()
    MUTE = auto()
    """Without a word to its client."""
    BARE = auto()
    """The row is not even filled in."""


class State(Enum):
    """Where an exchange stands. In DONE every input answers with no action."""

    PLANNING = auto()
    CONNECTING = auto()
    HOLDING = auto()
    """The upstream answers; nothing of it has been sent to the client."""
    STREAMING = auto()
    DRAINING = auto()
    """The client's part is over; the upstream is read on for its numbers."""
    DONE = auto()


@dataclass(frozen=True, slots=True)
class Verdict:
    """A terminal status, and what the client is told where it is an error.

    `quiet`: the client's body ends without an error, although the status is none of success.
    `final`: no other attempt could mend it.
    """

    status: Status
    error: GatewayError | None = None
    quiet: bool = False
    final: bool = False


def _error(
    status: Status, http: int, code: ErrorCode, message: str, *, final: bool = False
) -> Verdict:
    return Verdict(status, GatewayError(http, code, message), final=final)


COMPLETED = Verdict(Status.COMPLETED)
CLIENT_LEFT = Verdict(Status.CLIENT_DISCONNECTED)
FINISHED_WITHOUT_MARKER = Verdict(Status.STREAM_INCOMPLETE, quiet=True)
# 499: the field's number for «closed on the client's wish»; no SDK repeats it.
STOPPED = _error(Status.CANCELLED, 499, ErrorCode.STREAM_CANCELLED, "the stream was stopped")
SUPERSEDED = _error(
    Status.SUPERSEDED,
    499,
    ErrorCode.STREAM_CANCELLED,
    "a newer stream of the session took its place",
)
SHUTDOWN = _error(Status.SHUTDOWN, 503, ErrorCode.SERVER_SHUTDOWN, "the gateway is shutting down")
LEDGER_UNAVAILABLE = _error(
    Status.REJECTED, 503, ErrorCode.LEDGER_UNAVAILABLE, "the ledger cannot be written"
)
OVERLOADED = _error(
    Status.REJECTED, 503, ErrorCode.OVERLOADED, "the gateway has no descriptor left for a call"
)
BROKEN = _error(
    Status.REJECTED, 500, ErrorCode.OVERLOADED, "the gateway failed on this request", final=True
)
"""A fault of our own before anything went upstream."""
FAILED = _error(
    Status.SHUTDOWN, 500, ErrorCode.OVERLOADED, "the gateway failed on this answer", final=True
)
"""A fault of our own behind it: we stopped before it ended."""


def timed_out(what: str, seconds: float, *, final: bool = False) -> Verdict:
    """Return the verdict of a deadline passed: 504 before the head (SPEC §5.5)."""
    message = f"the upstream's {what} took longer than {seconds:g} s"
    code = ErrorCode.UPSTREAM_TIMEOUT
    return _error(Status.UPSTREAM_TIMEOUT, 504, code, message, final=final)


def protocol_error(message: str) -> Verdict:
    """Return the verdict of an answer that is not what was asked for."""
    return _error(Status.UPSTREAM_PROTOCOL_ERROR, 502, ErrorCode.UPSTREAM_PROTOCOL_ERROR, message)


def refused(error: GatewayError, status: int | None = None) -> Verdict:
    """Return the verdict of an error that the upstream told us, with its own `status` if it had one.

    Most 4xx blame the request: another upstream would say the same (SPEC §14.2).
    """
    blames = status is not None and 400 <= status < 500 and status not in _PASSING
    return Verdict(Status.UPSTREAM_ERROR, error, final=blames)


def limit_reached(error: GatewayError) -> Verdict:
    """Return the verdict of a stream that used up what its key may have (SPEC §15.4)."""
    return Verdict(Status.LIMIT_REACHED, error, final=True)


_FAILURES = {
    "dns": "the upstream's name could not be resolved",
    "refused": "the upstream refused the connection",
    "connect": "the upstream could not be reached",
    "tls": "the upstream's TLS handshake failed",
    "reset": "the upstream reset the connection before it answered",
    "closed": "the upstream closed the connection before it answered",
}


def failed(kind: str) -> Verdict:
    """Return the verdict of a call that got no head; `kind` names the failure (F20–F23)."""
    if kind == "connect_timeout":
        message = "the upstream did not accept the connection in time"
        return _error(Status.UPSTREAM_TIMEOUT, 504, ErrorCode.UPSTREAM_TIMEOUT, message)
    if kind == "exhausted":
        return OVERLOADED
    if kind == "protocol":
        return protocol_error("the upstream's answer is not legal HTTP")
    if kind == "coding":
        return protocol_error("the upstream's answer has a content coding that was not asked for")
    message = _FAILURES.get(kind, "the upstream could not be reached")
    return _error(Status.UPSTREAM_ERROR, 502, ErrorCode.UPSTREAM_ERROR, message)


def after_end(kind: str, *, finished: bool, began: bool) -> Verdict:
    """Return the verdict of a stream that ended without its end marker (SPEC §5.1, §5.3).

    `kind`: complete, cut, reset or protocol. `finished`: a finish reason had come. `began`: a
    frame had come.
    """
    if kind == "protocol":
        return protocol_error("the upstream's answer could not be read to its end")
    if finished:
        return FINISHED_WITHOUT_MARKER
    if kind == "reset" and not began:
        return failed("reset")
    message = "the upstream ended the stream before it was finished"
    return _error(Status.STREAM_INCOMPLETE, 502, ErrorCode.STREAM_INCOMPLETE, message)
