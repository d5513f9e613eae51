"""The bytes of a response head, and how its body will be framed. Knows no socket and no dialect."""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import Enum
from http import HTTPStatus
from typing import Final

from streamgauge.gateway.http import Header

__all__ = ["CONTINUE", "BodyFraming", "field_lines", "framing_of", "render_head"]

CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"

_STATUS_LINES: Final = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}".encode("ascii")
    for status in HTTPStatus
}
# Ours to say: the connection decides them, whatever its application lists.
_OWNED: Final = frozenset((b"connection", b"content-length", b"keep-alive", b"transfer-encoding"))
# They are seldom listed: one look over all lines costs less than one at each name.
_OWNED_LINE: Final = re.compile(rb"(?i)\r\n(?:" + b"|".join(sorted(_OWNED)) + rb"): ")
_LINE: Final = b": ".join
_KEPT: Final = b"\r\nconnection: keep-alive\r\n\r\n"
_CLOSED: Final = b"\r\nconnection: close\r\n\r\n"
_WITHOUT_BODY: Final = (204, 304)


class BodyFraming(Enum):
    """How a client sees where the body ends (RFC 9112 §6)."""

    NONE = "none"
    """No body follows: HEAD, 204, 304."""
    LENGTH = "length"
    CHUNKED = "chunked"
    CLOSE = "close"
    """The end of the connection: HTTP/1.0 without a length."""


def framing_of(method: str, minor: int, status: int, length: int | None) -> BodyFraming:
    """Return the framing of an answer with `status` to a `method` request of HTTP/1.`minor`."""
    if method == "HEAD" or status in _WITHOUT_BODY:
        return BodyFraming.NONE
    if length is not None:
        return BodyFraming.LENGTH
    return BodyFraming.CHUNKED if minor else BodyFraming.CLOSE


def field_lines(headers: Sequence[Header]) -> tuple[bytes, bool]:
    """Return `headers` as lines, each behind a line end, and whether they ask to close.

    Without those that the connection itself writes. Raises ValueError when a name or value holds a
    line end or NUL: it would split the response.
    """
    closes = False
    lines = b"\r\n".join((b"", *map(_LINE, headers)))
    if _OWNED_LINE.search(lines) is not None:
        closes = _asks_close(headers)
        headers = [header for header in headers if header[0].lower() not in _OWNED]
        lines = b"\r\n".join((b"", *map(_LINE, headers)))
    ends = len(headers)
    if lines.count(b"\r") != ends or lines.count(b"\n") != ends or b"\0" in lines:
        raise ValueError("a header name or value holds a line end or NUL")
    return lines, closes


def _asks_close(headers: Sequence[Header]) -> bool:
    said = [value.lower() for name, value in headers if name.lower() == b"connection"]
    return b"close" in b",".join(said)


def render_head(
    status: int, lines: bytes, framing: BodyFraming, length: int | None, *, keep_alive: bool
) -> bytes:
    """Return status line and `lines` of `field_lines`, the empty line included (RFC 9112 §4).

    `length` also stands on an answer to HEAD, when known.
    """
    first = _STATUS_LINES.get(status) or b"HTTP/1.1 %d " % status
    last = _KEPT if keep_alive else _CLOSED
    if framing is BodyFraming.CHUNKED:
        return first + lines + b"\r\ntransfer-encoding: chunked" + last
    if length is not None and status not in _WITHOUT_BODY:
        return b"%b%b\r\ncontent-length: %d%b" % (first, lines, length, last)
    return first + lines + last
