"""Where a chunked request body ends, and whether its framing is strict. Knows no parser."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from streamgauge.core.errors import RequestError
from streamgauge.core.usage import MAX_COUNT
from streamgauge.gateway.http_guard import FIELD_BLOCK, MAX_FIELDS, bad_http

__all__ = ["MAX_EXTENSION", "MAX_FRAMING", "MAX_SIZE_DIGITS", "MAX_TRAILER", "ChunkGuard"]

MAX_SIZE_DIGITS: Final = 16
"""More hexadecimal digits could wrap a 64-bit reader to another size."""
MAX_EXTENSION: Final = 256
"""Bytes of chunk extensions a line: nobody sends any, so this only stops abuse."""
MAX_TRAILER: Final = 8 * 1024
MAX_FRAMING: Final = 1024 * 1024
"""Bytes of framing allowed beyond one for each body byte: tiny chunks cost time, not memory."""

_SIZE_LINE = re.compile(
    rb"([0-9A-Fa-f]{1,%d})(?:;[\t\x20-\x7e\x80-\xff]{0,%d})?\r\n" % (MAX_SIZE_DIGITS, MAX_EXTENSION)
)
_MAX_SIZE_LINE = MAX_SIZE_DIGITS + 1 + MAX_EXTENSION + 2


class ChunkGuard:
    """Walks over chunk framing (RFC 9112 §7.1). What it has consumed is legal for certain.

    `body_size` counts the data bytes announced so far and never passes `max_body`. After `done`
    the next byte belongs to another request.
    """

    __slots__ = (
        "_framing",
        "_left",
        "_max_body",
        "_step",
        "_trailer",
        "_trailer_lines",
        "body_size",
    )

    def __init__(self, max_body: int) -> None:
        self._max_body = max_body
        self._step: _Step | None = ChunkGuard._size_line
        self._left = 0
        self._framing = 0
        self._trailer = 0
        self._trailer_lines = 0
        self.body_size = 0

    @property
    def done(self) -> bool:
        """Whether the empty line behind the last chunk and its trailers was consumed."""
        return self._step is None

    def consume(self, buffer: bytearray) -> int:
        """Return how many bytes at the start of `buffer` belong to this body. Raises RequestError.

        Called again with those bytes removed and more behind the rest.
        """
        at = 0
        while self._step is not None and at < len(buffer):
            after = self._step(self, buffer, at)
            if after is None:
                break
            at = after
        return at

    def _size_line(self, buffer: bytearray, at: int) -> int | None:
        end = _line_end(buffer, at, _MAX_SIZE_LINE, "A chunk size line is too long.")
        if end is None:
            return None
        legal = _SIZE_LINE.fullmatch(buffer, at, end)
        if legal is None:
            raise bad_http("A chunk size line is not hexadecimal digits and CRLF.")
        self._count_framing(end - at)
        self._left = int(legal[1], 16)
        if self._left > MAX_COUNT:
            raise bad_http("A chunk size is no possible size.")
        self.body_size += self._left
        if self.body_size > self._max_body:
            raise RequestError("The request body is too large.", status=413)
        self._step = ChunkGuard._data if self._left else ChunkGuard._trailer_line
        return end

    def _data(self, buffer: bytearray, at: int) -> int:
        took = min(self._left, len(buffer) - at)
        self._left -= took
        if not self._left:
            self._step = ChunkGuard._data_end
        return at + took

    def _data_end(self, buffer: bytearray, at: int) -> int | None:
        end = buffer[at : at + 2]
        if not b"\r\n".startswith(end):
            raise bad_http("Chunk data does not end where its size says.")
        if len(end) < 2:
            return None
        self._count_framing(2)
        self._step = ChunkGuard._size_line
        return at + 2

    def _trailer_line(self, buffer: bytearray, at: int) -> int | None:
        end = _line_end(buffer, at, MAX_TRAILER - self._trailer, "The trailers exceed 8 KiB.")
        if end is None:
            return None
        self._trailer += end - at
        if buffer.startswith(b"\r\n", at):
            self._step = None
            return end
        self._trailer_lines += 1
        if self._trailer_lines > MAX_FIELDS:
            raise bad_http("There are more than 100 trailers.")
        if not FIELD_BLOCK.fullmatch(buffer, at, end):
            raise bad_http("A trailer line is not a name, a colon and a value.")
        return end

    def _count_framing(self, size: int) -> None:
        self._framing += size
        if self._framing > MAX_FRAMING + self.body_size:
            raise bad_http("The request body is cut into too many small chunks.")


_Step = Callable[[ChunkGuard, bytearray, int], int | None]


def _line_end(buffer: bytearray, at: int, limit: int, too_long: str) -> int | None:
    """Return the index behind the LF of the line at `at`, None if it is not there yet."""
    end = buffer.find(b"\n", at, at + limit)
    if end >= 0:
        return end + 1
    if len(buffer) - at >= limit:
        raise bad_http(too_long)
    return None
