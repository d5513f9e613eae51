"""The framing of a chunked body (RFC 9112 §7.1), for chunks of a usual size. Knows no socket.

A stream is a chunk an event, in both directions. To look a size line up costs less than to print
one, and far less than to parse one: measured with cold caches, as an event finds them, a twentieth.
"""

from __future__ import annotations

from typing import Final

__all__ = ["LAST_CHUNK", "SIZE_LINES", "USUAL", "one_chunk", "whole_chunk"]

LAST_CHUNK: Final = b"0\r\n\r\n"
USUAL: Final = 4096
_CRLF: Final = b"\r\n"
SIZE_LINES: Final = tuple([b"%x\r\n" % size for size in range(USUAL)])
"""By the size of the data."""


def _by_length() -> tuple[bytes, ...]:
    lines = [b""] * (USUAL + len(SIZE_LINES[-1]) + len(_CRLF))
    for size, line in enumerate(SIZE_LINES[1:], start=1):
        lines[len(line) + size + len(_CRLF)] = line
    return tuple(lines)


_LINES_BY_LENGTH: Final = _by_length()
"""By the size of the whole chunk: there is one size at most that makes a chunk so long."""
_LONGEST: Final = len(_LINES_BY_LENGTH)


def one_chunk(data: bytes) -> bytes:
    """Return `data`, never empty, as a chunk."""
    if (size := len(data)) < USUAL:
        return b"".join((SIZE_LINES[size], data, _CRLF))
    return b"%x\r\n%b\r\n" % (size, data)


def whole_chunk(raw: bytes) -> bytes | None:
    """Return the data of `raw` if that is one whole chunk, written the usual way; else None.

    Usual: lower case, no leading zero, no extension, less than 4 KiB. The last chunk is not.
    """
    if (length := len(raw)) >= _LONGEST or not (line := _LINES_BY_LENGTH[length]):
        return None
    at = len(line)
    return raw[at:-2] if raw[:at] == line and raw[-2:] == _CRLF else None
