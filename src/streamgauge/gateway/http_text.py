"""The bytes of a response head, and how its body will be framed. Knows no socket and no dialect."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import Enum
from http import HTTPStatus
from typing import Final

from streamgauge.gateway.http import Header

__all__ = ["CONTINUE", "BodyFraming", "asks_close", "framing_of", "render_head"]

CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"

_REASONS: Final = {status.value: status.phrase.encode("ascii") for status in HTTPStatus}
# Ours to say: the connection decides them, whatever its application lists.
_OWNED: Final = frozenset((b"connection", b"content-length", b"keep-alive", b"transfer-encoding"))


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
    if method == "HEAD" or status in (204, 304):
        return BodyFraming.NONE
    if length is not None:
        return BodyFraming.LENGTH
    return BodyFraming.CHUNKED if minor else BodyFraming.CLOSE


def asks_close(headers: Iterable[Header]) -> bool:
    """Whether `headers` of an answer ask to close the connection after it."""
    said = [value.lower() for name, value in headers if name.lower() == b"connection"]
    return b"close" in b",".join(said)


def render_head(
    status: int,
    headers: Sequence[Header],
    framing: BodyFraming,
    length: int | None,
    *,
    keep_alive: bool,
) -> bytes:
    """Return status line and headers, the empty line included (RFC 9112 §4).

    `length` also stands on an answer to HEAD, when known. Raises ValueError when a name or value
    holds a line end or NUL: it would split the response.
    """
    lines = [b"HTTP/1.1 %d %b" % (status, _REASONS.get(status, b""))]
    lines += [name + b": " + value for name, value in headers if name.lower() not in _OWNED]
    if framing is BodyFraming.CHUNKED:
        lines.append(b"transfer-encoding: chunked")
    elif length is not None and status not in (204, 304):
        lines.append(b"content-length: %d" % length)
    lines.append(b"connection: keep-alive" if keep_alive else b"connection: close")
    head = b"\r\n".join(lines)
    if head.count(b"\r") != len(lines) - 1 or head.count(b"\n") != len(lines) - 1 or b"\0" in head:
        raise ValueError("a header name or value holds a line end or NUL")
    return head + b"\r\n\r\n"
