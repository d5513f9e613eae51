"""Signs of life that come as frames with data. Knows no dialect: whoever sends one, it counts in nothing."""

from __future__ import annotations

import msgspec

__all__ = ["PING_PAYLOADS", "is_ping"]

PING_PAYLOADS = (b'{"type":"ping"', b'{"type": "ping"')


class _Said(msgspec.Struct, gc=False):
    """What a frame that is named a ping may say instead: its type wins, as for every reader of it."""

    type: str | None = None
    choices: object = None
    error: object = None


_decode = msgspec.json.Decoder(_Said).decode


def is_ping(payload: bytes | None, event: bytes) -> bool:
    """Return whether a frame says no more than that somebody is there; `payload` None: unread."""
    if payload is None:
        return event == b"ping"
    if payload.startswith(PING_PAYLOADS):
        return True
    return event == b"ping" and not _says_more(payload)


def _says_more(payload: bytes) -> bool:
    try:
        said = _decode(payload)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return False
    if said.type not in (None, "ping"):
        return True
    return said.choices is not None or said.error is not None
