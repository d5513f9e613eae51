"""What ends the body of an upstream's answer, by its head (RFC 9112 §6.3): one reading, or refusal."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

from streamgauge.gateway.http import Header

__all__ = ["Framing", "ResponseError", "framing_of", "says_close"]


class ResponseError(Exception):
    """The bytes are no HTTP/1.1 response, or pass a bound. Their reader is dead afterwards."""


class Framing(Enum):
    """What ends the body."""

    NONE = "none"
    LENGTH = "length"
    CHUNKED = "chunked"
    CLOSE = "close"


def framing_of(headers: Sequence[Header], modern: bool) -> Framing:
    """Return what the headers state; `modern`: HTTP/1.1. Raises ResponseError on a doubtful head."""
    lengths = _values(headers, b"content-length")
    codings = [value.lower() for value in _values(headers, b"transfer-encoding")]
    if lengths and codings:
        raise ResponseError("both content-length and transfer-encoding")
    if len(lengths) > 1:
        raise ResponseError("more than one content-length")
    if lengths and not lengths[0].isdigit():
        raise ResponseError("content-length is no number")
    if codings and (codings != [b"chunked"] or not modern):
        raise ResponseError("transfer-encoding other than chunked")
    if codings:
        return Framing.CHUNKED
    return Framing.LENGTH if lengths else Framing.CLOSE


def says_close(headers: Sequence[Header]) -> bool:
    """Return whether the peer closes the connection behind its answer."""
    values = _values(headers, b"connection")
    tokens = b",".join(values).lower().split(b",")
    return bool(values) and b"close" in [token.strip() for token in tokens]


def _values(headers: Sequence[Header], name: bytes) -> list[bytes]:
    return [value for key, value in headers if key == name]
