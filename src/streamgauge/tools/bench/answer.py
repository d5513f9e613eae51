"""An HTTP/1.1 answer taken apart as it arrives: head, then body. Knows no socket and no event stream.

Minimal, for answers of proxies under test on this machine: bad framing is an error, nothing is repaired.
"""

from __future__ import annotations

import re

__all__ = ["Answer", "BadAnswer"]

_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})")
_LENGTH = re.compile(rb"(?i)\r\ncontent-length:[ \t]*(\d+)")
_CHUNKED = re.compile(rb"(?i)\r\ntransfer-encoding:[ \t]*chunked")
_NO_BODY = frozenset({204, 304})


class BadAnswer(Exception):
    """The bytes are no answer as RFC 9112 has it."""


class Answer:
    """One answer. `status` is None until the head is whole; `done` when the body's last byte is read."""

    __slots__ = ("_body_left", "_chunked", "_pending", "_trailing", "done", "status")

    def __init__(self) -> None:
        self.status: int | None = None
        self.done = False
        self._pending = b""
        self._chunked = False
        self._body_left: int | None = None  # of a chunk, or of the body; None: until the close
        self._trailing = False  # in the lines after the last chunk

    def feed(self, data: bytes) -> bytes:
        """Return the body bytes in `data`. Raises BadAnswer."""
        if self._pending:
            data = self._pending + data
            self._pending = b""
        if self.status is None:
            end = data.find(b"\r\n\r\n")
            if end < 0:
                self._pending = data
                return b""
            # The blank line's first half stays in the head: each field's pattern begins with a line end.
            self._read_head(data[: end + 2])
            data = data[end + 4 :]
        if self._chunked:
            return self._chunks(data)
        return self._sized(data)

    def closed(self) -> None:
        """Tell that the peer has closed. Raises BadAnswer when the body is not whole."""
        if self.done:
            return
        if self.status is None or self._chunked or self._body_left is not None:
            raise BadAnswer("closed before the end of the answer")
        self.done = True

    def _read_head(self, head: bytes) -> None:
        status = _STATUS.match(head)
        if status is None:
            raise BadAnswer("no HTTP/1.1 status line")
        self.status = int(status[1])
        self._chunked = _CHUNKED.search(head) is not None
        length = _LENGTH.search(head)
        if self.status in _NO_BODY or self._chunked:
            self._body_left = 0
        elif length is not None:
            self._body_left = int(length[1])

    def _sized(self, data: bytes) -> bytes:
        if self._body_left is None:
            return data
        if len(data) > self._body_left:
            raise BadAnswer("more bytes than the content-length")
        self._body_left -= len(data)
        self.done = self._body_left == 0
        return data

    def _chunks(self, data: bytes) -> bytes:
        """Return the contents of the chunks in `data`; keep a piece of a size line for the next call."""
        out: list[bytes] = []
        at = 0
        while not self.done and at < len(data):
            left = self._body_left
            assert left is not None
            if left > 2:  # contents and the line end behind them
                piece = data[at : at + left - 2]
                out.append(piece)
                at += len(piece)
                self._body_left = left - len(piece)
            elif left:
                if data[at] != b"\n\r"[left - 1]:
                    raise BadAnswer("a chunk is longer than its size")
                at += 1
                self._body_left = left - 1
            else:
                end = data.find(b"\r\n", at)
                if end < 0:
                    self._pending = data[at:]
                    break
                self._line(data[at:end])
                at = end + 2
        if self.done and at < len(data):
            raise BadAnswer("bytes after the end of the answer")
        return b"".join(out) if len(out) != 1 else out[0]

    def _line(self, line: bytes) -> None:
        """Take a size line, or a line of the trailer."""
        if self._trailing:
            self.done = not line
            return
        try:
            size = int(line.partition(b";")[0], 16)
        except ValueError:
            raise BadAnswer("a chunk without a size") from None
        if size:
            self._body_left = size + 2
        else:
            self._trailing = True
