"""What of one stream is kept for a client that lost its connection (SPEC §11.5). Knows no socket.

It is cut where `id:` lines of its own begin, which the stamps of `integrity.py` write.
"""

from __future__ import annotations

import re
from collections import deque
from itertools import islice

from streamgauge.core.errors import ErrorCode, RequestError

__all__ = ["FRAME_OVERHEAD", "FrameBuffer", "asked_after"]

FRAME_OVERHEAD = 128
"""Bytes that a piece costs beside its own: without them a bound of bytes bounds no memory."""
_AFTER = re.compile(r"(?:^|&)after=([^&]*)")
_SEQ = re.compile(r"[0-9]{1,15}")
_LINE_ENDS = b"\r\n"
_BLANK = re.compile(rb"(?:\r\n|\r(?!\n)|\n)(?:\r\n|\r(?!\n)|\n)")
"""What ends a frame: an upstream's own line ends pass as they came."""


class FrameBuffer:
    """The latest frames of one stream, and where each begins.

    A *place* is the number of a piece since the stream's beginning; what stands before `base` is
    gone. `size`: bytes that are held, with what each piece costs. `seq`: of the last frame.
    """

    __slots__ = ("_first", "_frames", "_inside", "_mark", "_pieces", "base", "seq", "size")

    def __init__(self, stream_id: str) -> None:
        self._mark = f"id: {stream_id}:".encode()
        self._pieces: deque[bytes] = deque()
        self._frames: deque[int] = deque()  # the places where frames `_first` to `seq` begin
        self._first = 1
        self._inside = False  # the blank line of frame `seq` has not come
        self.base = 0
        self.seq = 0
        self.size = 0

    def __repr__(self) -> str:
        return f"<FrameBuffer {self._first} to {self.seq}, {self.size} bytes>"

    @property
    def end(self) -> int:
        """The place behind all that was sent."""
        return self.base + len(self._pieces)

    def append(self, data: bytes) -> None:
        """Take what is sent; one piece begins with each frame."""
        start, mark = 0, self._mark
        at = data.find(mark)
        while at >= 0:
            if self._begins(data, at):
                place = self._add_before(data[start:at])
                start = at
                self.seq += 1
                self._inside = True
                self._frames.append(place)
            at = data.find(mark, at + len(mark))
        self._inside = self._inside and _blank_end(data, start) < 0
        self._add(data[start:])

    def _add_before(self, piece: bytes) -> int:
        """Add what stands before a frame; return where who has the one before that reads on.

        A ping between both has no number, and may carry our record: it belongs to what follows it.
        """
        # Else what may stand first is the LF of a CR that was the last byte before.
        end = _blank_end(piece, 0) if self._inside else int(piece.startswith(b"\n"))
        if end < 0 or _blank_end(piece, end) < 0:
            self._add(piece)
            return self.end
        self._add(piece[:end])
        place = self.end
        self._add(piece[end:])
        return place

    def _begins(self, data: bytes, at: int) -> bool:
        """Whether the next frame begins at `at`: an upstream may know the id, and write such lines."""
        if at and data[at - 1] not in _LINE_ENDS:
            return False
        number = b"%d\n" % (self.seq + 1)
        return data.startswith(number, at + len(self._mark))

    def _add(self, piece: bytes) -> None:
        if piece:
            self._pieces.append(piece)
            self.size += len(piece) + FRAME_OVERHEAD

    def place_after(self, seq: int) -> int | None:
        """Return where a client that has frame `seq` reads on; None: that is no longer there.

        Raises RequestError for a frame that was not sent yet.
        """
        if seq > self.seq:
            raise RequestError(f"frame {seq} was not sent: the last one is {self.seq}")
        if seq == self.seq:
            return self.end
        following = seq + 1
        return self._frames[following - self._first] if following >= self._first else None

    def take(self, place: int, size: int) -> tuple[bytes, int]:
        """Return the pieces from `place` on, about `size` bytes, and the place behind them."""
        found: list[bytes] = []
        for piece in islice(self._pieces, place - self.base, None):
            found.append(piece)
            size -= len(piece)
            if size <= 0:
                break
        return b"".join(found), place + len(found)

    def trim(self, size: int, place: int | None = None) -> None:
        """Drop the oldest pieces while more than `size` is held; none from `place` on."""
        while self.size > size and self._pieces and (place is None or self.base < place):
            self.size -= len(self._pieces.popleft()) + FRAME_OVERHEAD
            self.base += 1
        while self._frames and self._frames[0] < self.base:
            self._frames.popleft()
            self._first += 1


def _blank_end(data: bytes, start: int) -> int:
    """Return where the first blank line from `start` on ends, -1 where there is none."""
    at = data.find(b"\n\n", start)
    if b"\r" not in data:
        return at + 2 if at >= 0 else -1
    found = _BLANK.search(data, start)
    return found.end() if found else -1


def asked_after(stream_id: str, query: str, last_event_id: str | None) -> int:
    """Return the frame after which a client reads on; 0 where it names none.

    `Last-Event-ID` comes first: an EventSource that reconnects keeps the query of its first call.
    Raises RequestError for what is no frame of the stream.
    """
    if last_event_id:
        named, _, seq = last_event_id.rpartition(":")
        if named != stream_id or _SEQ.fullmatch(seq) is None:
            raise RequestError("last-event-id is not of this stream", code=ErrorCode.BAD_REQUEST)
        return int(seq)
    found = _AFTER.search(query)
    if found is None:
        return 0
    if _SEQ.fullmatch(found[1]) is None:
        raise RequestError("after is the number of a frame", param="after")
    return int(found[1])
