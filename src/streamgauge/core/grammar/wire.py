"""Cuts a stream into frames and says where each begins. It knows no JSON and no protocol."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from streamgauge.core.grammar.finding import Rule, Sheet, error, oddity
from streamgauge.core.sse import Frame, FrameKind, FrameTooLarge

__all__ = ["WIRE_RULES", "Located", "Splitter", "Wire"]

WIRE_RULES: Mapping[str, Rule] = {
    "bom": error("no byte order mark (both Python SDKs lose the first event over it)"),
    "unfinished_frame": error("the last frame is whole (what lacks its end is lost)"),
    "frame_too_large": error("no frame is over 32 MiB"),
    "unread_frame": oddity("no frame is over 4 MiB; such a one is not checked"),
}
_LINE_END = re.compile(rb"\r\n|\r|\n")
_COMMENTS = re.compile(rb"(:[^\r\n]*(\r\n|\r|\n))+")
_BOM_BYTES = 3
_KEPT = 64 * 1024


class Splitter(Protocol):
    """Bytes in, frames out."""

    bom_removed: bool

    def feed(self, data: bytes) -> list[Frame]:
        """Return the frames that `data` completes. Raises FrameTooLarge."""


@dataclass(frozen=True, slots=True)
class Located:
    """A whole frame. `payload` is None without data; `fields`: the names of its SSE fields."""

    payload: bytes | None
    event: bytes
    fields: frozenset[bytes]


class Wire:
    """Feeds a splitter, keeps count of bytes, and notes what is wrong with the framing."""

    __slots__ = ("_at", "_bom", "_dead", "_fed", "_parts", "_sheet", "_splitter", "_tail")

    def __init__(self, splitter: Splitter, sheet: Sheet) -> None:
        self._splitter = splitter
        self._sheet = sheet
        self._fed = 0
        self._at = 0  # where the frame being read begins
        self._parts = b""  # what of it came in pieces
        self._tail = b""  # the bytes that no frame has taken yet, while they are few
        self._bom = False
        self._dead = False

    def feed(self, data: bytes) -> Iterator[Located]:
        """Yield the frames that `data` completes; the sheet stands at each while it is out."""
        if self._dead:
            return
        self._fed += len(data)
        try:
            frames = self._splitter.feed(data)
        except FrameTooLarge:
            self._dead = True
            self._begin(1)
            self._sheet.note("frame_too_large", "a frame is over 32 MiB; nothing behind it is read")
            return
        self._note_bom()
        for frame in frames:
            yield from self._located(frame)
        left = self._fed - self._at
        self._tail = (self._tail + data)[-left:] if 0 < left <= _KEPT else b""

    def _note_bom(self) -> None:
        if self._splitter.bom_removed and not self._bom:
            self._bom = True
            self._sheet.note("bom", "the stream begins with a byte order mark")
            self._at = _BOM_BYTES

    def _located(self, frame: Frame) -> Iterator[Located]:
        if frame.kind is FrameKind.PART:
            self._parts += frame.raw
            return
        raw = self._parts + frame.raw
        self._parts = b""
        if frame.kind is not FrameKind.GLUE:
            data = frame.kind is FrameKind.DATA
            self._begin(1 if data else 0)
            if data and frame.payload is None:
                self._sheet.note("unread_frame", f"a frame of {len(raw)} bytes was not checked")
            else:
                yield Located(frame.payload, frame.event, _fields(raw))
        self._at += len(raw)

    def _begin(self, frames: int) -> None:
        self._sheet.frame += frames
        self._sheet.offset = self._at

    def end(self) -> None:
        """Note what was left without its end."""
        left = self._fed - self._at
        if left > 0 and not self._dead and not _COMMENTS.fullmatch(self._tail):
            self._begin(1)
            self._sheet.note("unfinished_frame", f"the last {left} bytes are no whole frame")


def _fields(raw: bytes) -> frozenset[bytes]:
    """Return the names of the fields in `raw`; a comment's is b""."""
    if raw.startswith(b"data:") and b"\n" not in raw.rstrip(b"\r\n"):
        return frozenset((b"data",))
    return frozenset(line.partition(b":")[0] for line in _LINE_END.split(raw) if line)
