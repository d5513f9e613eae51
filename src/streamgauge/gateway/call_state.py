"""How far an upstream call has come, and what its own bytes say of the connection."""

from __future__ import annotations

from enum import Enum

__all__ = ["CallState", "asks_close"]


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
