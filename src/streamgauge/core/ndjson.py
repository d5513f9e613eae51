"""Cuts a byte stream into NDJSON lines, keeping every byte. It knows no JSON.

Grammar: one JSON text a line, LF at its end, CRLF accepted, blank lines allowed. A lone CR is
white space inside JSON and ends nothing. Lines are cut on bytes, so that a split inside UTF-8
changes nothing.
"""

from __future__ import annotations

from streamgauge.core.sse import FRAME_LIMIT, READ_UP_TO, Frame, FrameKind, FrameTooLarge

__all__ = ["NdjsonSplitter"]

_BOM = b"\xef\xbb\xbf"
_BLANK = b" \t\r"
"""What JSON allows round a value; the CR of a CRLF is no more than that."""


class NdjsonSplitter:
    """Bytes in, lines out, as frames without an event's name. The caps are SPEC §4.7's.

    A blank line is GLUE. An unfinished line leaves in pieces only beyond READ_UP_TO, where nobody
    will read it: below that no client could use a piece, since what they get is written anew.
    """

    __slots__ = ("_begun", "_buffer", "_passed", "_scan", "bom_removed")

    def __init__(self, *, begun: bool = False) -> None:
        """`begun`: the first bytes have come elsewhere, so that no BOM can stand before these."""
        self._buffer = bytearray()
        self._scan = 0  # where a line end may yet be found
        self._passed = 0  # bytes of the unfinished line that have left as PART
        self._begun = begun
        self.bom_removed = False

    @property
    def inside(self) -> bool:
        """Whether part of an unfinished line has been passed on."""
        return self._passed > 0

    @property
    def inside_data(self) -> bool:
        """The same: each line is data."""
        return self.inside

    @property
    def between(self) -> bool:
        """Whether all that came has been passed on, to the end of a line."""
        return not (self._buffer or self._passed)

    def read_whole(self, data: bytes) -> tuple[bytes, bytes] | None:
        """Return payload and b"" where `data` is exactly one plain line, else change nothing."""
        last = len(data) - 1
        if self._buffer or self._passed or not self._begun or last >= READ_UP_TO:
            return None
        if data[:1] != b"{" or data.find(b"\n") != last:
            return None
        return data[:last].rstrip(_BLANK), b""

    def feed(self, data: bytes) -> list[Frame]:
        """Return the lines that `data` completes, in order. Raises FrameTooLarge."""
        frames: list[Frame] = []
        buffer = self._buffer
        buffer += data
        if not self._begun and not self._skip_bom():
            return frames
        start = 0
        while (end := buffer.find(b"\n", max(start, self._scan)) + 1) > 0:
            frames.append(self._line(bytes(buffer[start:end])))
            start = end
        if start:
            del buffer[:start]
        self._scan = len(buffer)
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

    def _line(self, raw: bytes) -> Frame:
        passed, self._passed = self._passed, 0
        if passed + len(raw) > FRAME_LIMIT:
            raise FrameTooLarge
        if passed or len(raw) > READ_UP_TO:
            return Frame(FrameKind.DATA, raw)
        payload = raw.removesuffix(b"\n").strip(_BLANK)
        return Frame(FrameKind.DATA, raw, payload) if payload else Frame(FrameKind.GLUE, raw)

    def _pass_large(self, frames: list[Frame]) -> None:
        """Let an unfinished line that nobody will read leave as it comes (SPEC §4.7)."""
        held = self._passed + len(self._buffer)
        if held > FRAME_LIMIT:
            raise FrameTooLarge
        if held > READ_UP_TO and self._buffer:
            frames.append(Frame(FrameKind.PART, bytes(self._buffer)))
            self._passed = held
            self._buffer.clear()
            self._scan = 0
