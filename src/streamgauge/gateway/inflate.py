"""Undoes gzip and deflate in steps, under a ratio cap (SPEC §3.4). Knows no framing, no socket."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from enum import Enum
from typing import Protocol

from streamgauge.gateway.http import Header

__all__ = [
    "FREE_BYTES",
    "PIECE_BYTES",
    "RATIO_LIMIT",
    "Coding",
    "InflateError",
    "Inflater",
    "inflating",
]

PIECE_BYTES = 64 * 1024
"""The most that one `read` returns: the high-water mark of one stream (SPEC §4.3)."""
RATIO_LIMIT = 100
"""Bytes out for one byte in. Real streams reach 5 to 20, deflate at most 1032."""
FREE_BYTES = 1024 * 1024
"""Output below which the ratio is not looked at: a short answer may be one repeated letter."""

_GZIP_MAGIC = b"\x1f\x8b"
_GZIP_WINDOW = 16 + zlib.MAX_WBITS
_ZLIB_HEADER_BYTES = 2


class InflateError(Exception):
    """The bytes are not what the content coding says, or pass the ratio cap."""


class Coding(Enum):
    """The content codings that are undone."""

    GZIP = "gzip"
    DEFLATE = "deflate"


_CODED_ONLY = frozenset({b"content-encoding", b"content-length"})
_ERRORS = 400
_CODINGS = {b"gzip": Coding.GZIP, b"x-gzip": Coding.GZIP, b"deflate": Coding.DEFLATE}


class _Decoder(Protocol):
    """What of zlib's unnamed decompressor class is used."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    @property
    def unconsumed_tail(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int = ..., /) -> bytes: ...


def inflating(
    headers: tuple[Header, ...], status: int = 200
) -> tuple[Inflater | None, tuple[Header, ...]]:
    """Return what undoes the body's coding, and `headers` without the fields that told of it.

    Of an error the status and the wait are worth more than its words, which are then not told.
    Raises InflateError for any other answer in a coding that is not known, or in more than one.
    """
    for name, _ in headers:
        if name == b"content-encoding":
            break
    else:
        return None, headers
    named = _codings([value for name, value in headers if name == b"content-encoding"])
    if not named:
        return None, headers
    coding = _CODINGS.get(named[0]) if len(named) == 1 else None
    if coding is None and status < _ERRORS:
        raise InflateError("unsupported content coding")
    return Inflater(coding), tuple(header for header in headers if header[0] not in _CODED_ONLY)


def _codings(values: Iterable[bytes]) -> list[bytes]:
    named = [name.strip().lower() for value in values for name in value.split(b",")]
    return [name for name in named if name not in (b"", b"identity")]


class Inflater:
    """One coded body: `feed` what came, then `read` until it returns nothing.

    `coding` None: one that is not known here, nothing of which is told.
    """

    __slots__ = ("_coding", "_decoder", "_input", "_produced", "_received")

    def __init__(self, coding: Coding | None) -> None:
        self._coding = coding
        self._decoder: _Decoder | None = None
        self._input = b""
        self._received = 0
        self._produced = 0

    def __repr__(self) -> str:
        return f"<Inflater {self._name} in={self._received} out={self._produced}>"

    @property
    def _name(self) -> str:
        return "unknown" if self._coding is None else self._coding.value

    @property
    def at_end(self) -> bool:
        """Whether what was fed and read stops where the coded data may stop (or nothing came)."""
        if self._input:
            return False
        return self._decoder is None or self._decoder.eof

    def feed(self, data: bytes) -> None:
        """Add coded bytes."""
        self._received += len(data)
        if self._coding is None:
            return
        self._input = self._input + data if self._input else data

    def read(self) -> bytes:
        """Return the next decoded piece (≤ 64 KiB), or nothing when more input is needed.

        Raises InflateError.
        """
        while True:
            decoder = self._current()
            if decoder is None:
                return b""
            try:
                piece = decoder.decompress(self._input, PIECE_BYTES)
            except zlib.error as error:
                raise InflateError(f"not {self._name} data") from error
            self._input = decoder.unused_data if decoder.eof else decoder.unconsumed_tail
            self._count(len(piece))
            if piece or not decoder.eof:
                return piece

    def _current(self) -> _Decoder | None:
        decoder = self._decoder
        if decoder is not None and not decoder.eof:
            return decoder
        if not self._input:
            return None
        if decoder is not None:
            self._check_next_member()
        self._decoder = self._started()
        return self._decoder

    def _check_next_member(self) -> None:
        # RFC 1952 §2.2: a gzip file may be several members, one behind the other.
        start = self._input[: len(_GZIP_MAGIC)]
        if self._coding is not Coding.GZIP or not _GZIP_MAGIC.startswith(start):
            raise InflateError(f"bytes after the end of the {self._name} data")

    def _started(self) -> _Decoder | None:
        if self._coding is Coding.GZIP:
            return zlib.decompressobj(_GZIP_WINDOW)
        if len(self._input) < _ZLIB_HEADER_BYTES:
            return None
        return zlib.decompressobj(
            zlib.MAX_WBITS if _has_zlib_header(self._input) else -zlib.MAX_WBITS
        )

    def _count(self, size: int) -> None:
        self._produced += size
        if self._produced > FREE_BYTES and self._produced > RATIO_LIMIT * self._received:
            raise InflateError(f"compression ratio over {RATIO_LIMIT}")


def _has_zlib_header(data: bytes) -> bool:
    # RFC 9110 §8.4.1.2: "deflate" is zlib (RFC 1950), but some senders leave its header out.
    return data[0] & 0x0F == zlib.DEFLATED and (data[0] << 8 | data[1]) % 31 == 0
