"""Cuts a byte stream into server-sent-event frames, keeping every byte. It knows no JSON.

Grammar: WHATWG HTML, server-sent events (LF, CR and CRLF, one leading BOM, comments, multi-line
data). Frames are cut on bytes, never decoded, so a split inside UTF-8 or CRLF changes nothing.
"""

from __future__ import annotations

import re
from enum import Enum, auto

__all__ = ["Frame", "FrameKind", "FrameSplitter", "FrameTooLarge", "encode_frame", "plain_frame"]

_BOM = b"\xef\xbb\xbf"
# A CR directly before LF is never an end of its own; a CR at the end of the buffer is one, and a
# LF that follows it later is passed on as glue.
_EOL = re.compile(rb"\r\n|\r(?!\n)|\n")
_BOUNDARY = re.compile(rb"(?:\r\n|\r(?!\n)|\n)(?:\r\n|\r(?!\n)|\n)")

PASS_FROM = 64 * 1024
"""An unfinished frame of this size is passed on piece by piece (SPEC §4.1)."""
READ_UP_TO = 4 * 1024 * 1024
"""Beyond this a frame passes, but its payload is not kept for the meter (SPEC §4.7)."""
FRAME_LIMIT = 32 * 1024 * 1024
"""No frame is larger: the stream ends with an error (SPEC §4.7)."""


class FrameTooLarge(Exception):
    """A frame passed the cap of 32 MiB."""


class FrameKind(Enum):
    """What a piece of the wire is."""

    DATA = auto()
    """The end of a frame with at least one data line; `payload` is set unless it was oversize."""
    SILENT = auto()
    """The end of a frame without data: comments, or an event or id line alone."""
    GLUE = auto()
    """A line end between frames."""
    PART = auto()
    """A piece of a large frame whose end has not come yet."""


class Frame:
    """One piece of the wire. Concatenated `raw` is the stream as received, less a leading BOM.

    `payload`: the data lines joined by LF, or None where there are none or they were too large.
    """

    __slots__ = ("event", "kind", "payload", "raw")

    def __init__(
        self, kind: FrameKind, raw: bytes, payload: bytes | None = None, event: bytes = b""
    ) -> None:
        self.kind = kind
        self.raw = raw
        self.payload = payload
        self.event = event

    def __repr__(self) -> str:
        return f"<Frame {self.kind.name} {self.raw[:40]!r}>"


class FrameSplitter:
    """Bytes in, frames out. An unfinished frame stays inside and is dropped with the splitter."""

    __slots__ = (
        "_after_cr",
        "_begun",
        "_buffer",
        "_has_cr",
        "_length",
        "_passed",
        "_scan",
        "bom_removed",
    )

    def __init__(self, *, begun: bool = False) -> None:
        """`begun`: the first bytes have come elsewhere, so that no BOM can stand before these."""
        self._buffer = bytearray()
        self._scan = 0
        self._passed = 0  # bytes of the unfinished frame that have left as PART
        self._length = 0  # bytes of the unfinished frame no longer kept
        self._after_cr = False
        self._has_cr = False  # a CR is in the buffer: its line ends need the whole grammar
        self._begun = begun
        self.bom_removed = False

    @property
    def inside(self) -> bool:
        """Whether part of an unfinished frame has been passed on."""
        return self._passed > 0

    @property
    def inside_data(self) -> bool:
        """Whether that frame has data, if it ended here; where it is not kept, it passes for data."""
        if not self.inside or self._length:
            return self.inside
        return _read_frame(bytes(self._buffer) + b"\n\n").kind is FrameKind.DATA

    @property
    def between(self) -> bool:
        """Whether all that came has been passed on, to the end of a frame."""
        return not (self._buffer or self._after_cr)

    def read_whole(self, data: bytes) -> tuple[bytes, bytes] | None:
        """Return payload and event where `data` is exactly one plain frame, else change nothing.

        Plain: LF line ends, one `data: ` line, before it at most one `event: ` line. Measured at
        one event an arrival this is nearly every read, and then nothing needs to be kept.
        """
        if self._buffer or self._after_cr or not self._begun or len(data) >= PASS_FROM:
            return None
        return plain_frame(data)

    def feed(self, data: bytes) -> list[Frame]:
        """Return the frames that `data` completes, in order. Raises FrameTooLarge."""
        frames: list[Frame] = []
        buffer = self._buffer
        self._has_cr = (self._has_cr and bool(buffer)) or b"\r" in data
        buffer += data
        if not self._begun and not self._skip_bom():
            return frames
        if self._after_cr and buffer:
            self._after_cr = False
            if buffer[0] == 10:
                del buffer[:1]
                frames.append(Frame(FrameKind.GLUE, b"\n"))
        start = self._cut(frames)
        if start:
            del buffer[:start]
        self._pass_large(frames)
        return frames

    def _skip_bom(self) -> bool:
        """Drop a leading BOM. False while too few bytes have come to tell."""
        buffer = self._buffer
        if len(buffer) < len(_BOM) and _BOM.startswith(bytes(buffer)):
            return False
        self._begun = True
        if buffer.startswith(_BOM):
            del buffer[: len(_BOM)]
            self.bom_removed = True
        return True

    def _cut(self, frames: list[Frame]) -> int:
        """Append every whole frame of the buffer; return where the unfinished one begins."""
        buffer, start, scan = self._buffer, 0, self._scan
        end_of = self._end_by_grammar if self._has_cr else self._end_by_lf
        while start < len(buffer):
            end, blank = end_of(start, scan)
            if not end:
                break
            raw = bytes(buffer[start:end])
            frames.append(Frame(FrameKind.GLUE, raw) if blank else self._whole(raw))
            start = scan = end
            self._after_cr = start == len(buffer) and buffer[start - 1] == 13
        self._scan = max(0, len(buffer) - start - 3)
        return start

    def _end_by_lf(self, start: int, scan: int) -> tuple[int, bool]:
        """Return where the frame at `start` ends, 0 for not yet, and whether it is a blank line.

        For buffers without a CR: a search for two bytes, in a tenth of the grammar's time.
        """
        if not self._length and scan <= start and self._buffer[start] == 10:
            return start + 1, True
        found = self._buffer.find(b"\n\n", max(start, scan))
        return (found + 2 if found >= 0 else 0), False

    def _end_by_grammar(self, start: int, scan: int) -> tuple[int, bool]:
        """As `_end_by_lf`, for every line end that the standard knows."""
        blank = None
        if not self._length and scan <= start:
            blank = _EOL.match(self._buffer, start)
        end = blank or _BOUNDARY.search(self._buffer, max(start, scan))
        return (end.end() if end else 0), blank is not None

    def _whole(self, raw: bytes) -> Frame:
        passed, dropped = self._passed, self._length
        self._passed = self._length = 0
        size = dropped + len(raw)
        if size > FRAME_LIMIT:
            raise FrameTooLarge
        if size > READ_UP_TO:
            return Frame(FrameKind.DATA, raw[passed - dropped :])
        frame = _read_frame(raw)
        frame.raw = raw[passed:] if passed else raw
        return frame

    def _pass_large(self, frames: list[Frame]) -> None:
        """Let the unfinished frame leave as it comes once it is large; keep a copy to read it."""
        held = self._length + len(self._buffer)
        if held > FRAME_LIMIT:
            raise FrameTooLarge
        if held < PASS_FROM:
            return
        piece = bytes(self._buffer[self._passed - self._length :])
        if piece:
            frames.append(Frame(FrameKind.PART, piece))
            self._passed = held
        if held > READ_UP_TO:
            # Three bytes are enough to recognise the blank line that ends the frame.
            keep = min(3, len(self._buffer))
            self._length = held - keep
            del self._buffer[: len(self._buffer) - keep]
            self._scan = 0


def plain_frame(data: bytes) -> tuple[bytes, bytes] | None:
    """Return payload and event where `data` is exactly one plain frame (see `read_whole`)."""
    last = len(data) - 2
    start, event = 6, b""
    if data[:7] == b"event: ":
        line = data.find(b"\n") + 1
        start, event = line + 6, data[7 : line - 1]
    if data[start - 6 : start] != b"data: " or data.find(b"\n", start) != last:
        return None
    if data[-1:] != b"\n" or b"\r" in data:
        return None
    return data[start:last], event


def _read_frame(raw: bytes) -> Frame:
    last = len(raw) - 2
    if raw.startswith(b"data: "):
        if raw.find(b"\n") == last and b"\r" not in raw:
            return Frame(FrameKind.DATA, raw, raw[6:last])
    elif raw.startswith(b"event: "):
        line = raw.find(b"\n") + 1
        if raw.startswith(b"data: ", line) and raw.find(b"\n", line) == last and b"\r" not in raw:
            return Frame(FrameKind.DATA, raw, raw[line + 6 : last], raw[7 : line - 1])
    return _read_lines(raw)


def _read_lines(raw: bytes) -> Frame:
    data: list[bytes] = []
    event = b""
    for line in _EOL.split(raw):
        name, colon, value = line.partition(b":")
        if colon and value.startswith(b" "):
            value = value[1:]
        if name == b"data":
            data.append(value)
        elif name == b"event":
            event = value
    if not data:
        return Frame(FrameKind.SILENT, raw, None, event)
    return Frame(FrameKind.DATA, raw, b"\n".join(data), event)


def encode_frame(payload: bytes, event: bytes = b"") -> bytes:
    """Return one frame of `payload`, a data line for each of its lines, with LF line ends."""
    head = b"event: " + event + b"\n" if event else b""
    lines = b"".join(b"data: " + line + b"\n" for line in payload.split(b"\n"))
    return head + lines + b"\n"
