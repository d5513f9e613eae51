"""How far an upstream call has come, and what its own bytes say of the connection."""

from __future__ import annotations

from enum import Enum

from streamgauge.gateway.http import EndKind, FailKind

__all__ = ["CallState", "asks_close", "ending_by_loss"]


class CallState(Enum):
    """How far a call has come, as its owner knows it."""

    OPENING = "opening"
    OPEN = "open"
    SENT = "sent"
    BODY = "body"
    DONE = "done"


def asks_close(request: bytes) -> bool:
    """Return whether the request itself asks for the close of its connection."""
    head = request[: request.find(b"\r\n\r\n") + 2].lower()
    return b"\r\nconnection: close\r\n" in head


def ending_by_loss(kind: FailKind, message: str, *, proper: bool) -> tuple[EndKind, str]:
    """Return how a body ended whose connection is gone; `proper`: its close is the body's end."""
    if kind is not FailKind.CLOSED:
        return EndKind.RESET, message
    return (EndKind.COMPLETE, "") if proper else (EndKind.CUT, message)
