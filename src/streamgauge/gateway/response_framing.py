"""What ends the body of an upstream's answer, by its head (RFC 9112 §6.3): one reading, or refusal."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

from streamgauge.gateway.http import Header

__all__ = ["LONGEST_BODY", "Framing", "ResponseError", "stated_by"]

LONGEST_BODY = 2**64 - 1
"""In bytes: beyond it the numbers of other readers wrap around."""


class ResponseError(Exception):
    """The bytes are no HTTP/1.1 response, or pass a bound. Their reader is dead afterwards."""


class Framing(Enum):
    """What ends the body."""

    NONE = "none"
    LENGTH = "length"
    CHUNKED = "chunked"
    CLOSE = "close"


_LENGTH = Framing.LENGTH
_CHUNKED = Framing.CHUNKED
_CLOSE = Framing.CLOSE


def stated_by(headers: Sequence[Header], modern: bool) -> tuple[Framing, int, bool]:
    """Return what ends the body, the length in bytes, and whether the connection ends then.

    `modern`: HTTP/1.1. Raises ResponseError on a doubtful head.
    """
    lengths: list[bytes] = []
    codings: list[bytes] = []
    tokens: list[bytes] = []
    for name, value in headers:
        if name == b"content-length":
            lengths.append(value)
        elif name == b"transfer-encoding":
            codings.append(value.lower())
        elif name == b"connection":
            tokens += value.lower().split(b",")
    closes = bool(tokens) and b"close" in [token.strip() for token in tokens]
    if codings:
        _check_codings(codings, lengths, modern)
        return _CHUNKED, 0, closes
    if not lengths:
        return _CLOSE, 0, closes
    return _LENGTH, _length(lengths), closes


def _check_codings(codings: list[bytes], lengths: list[bytes], modern: bool) -> None:
    if lengths:
        raise ResponseError("both content-length and transfer-encoding")
    if codings != [b"chunked"] or not modern:
        raise ResponseError("transfer-encoding other than chunked")


def _length(lengths: list[bytes]) -> int:
    if len(lengths) > 1:
        raise ResponseError("more than one content-length")
    digits = lengths[0]
    if not digits.isdigit():
        raise ResponseError("content-length is no number")
    # Zeros in front are legal; more digits than a longest body has are not all converted.
    return int(digits if len(digits) <= 20 else digits.lstrip(b"0")[:21] or b"0")
