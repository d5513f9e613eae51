"""Reads a capture file line by line, docs/capture.md. It judges nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, TypeVar

import msgspec

from streamgauge.core.integrity import Integrity
from streamgauge.core.integrity_text import PROTOCOLS
from streamgauge.core.once import Once
from streamgauge.gateway.capture.format import VERSION, Closing, Line, Opening, Side, Way

__all__ = ["CaptureError", "CaptureReader", "Message", "is_capture", "message_of"]

_LONGEST_LINE = 64 * 1024 * 1024
"""A line holds what one read or write moved, at most a body of 32 MiB written as base64."""
_FIRST_KEY = b'"streamgauge_capture"'

T = TypeVar("T", Opening, Line, Closing)


class CaptureError(Exception):
    """The file is no capture that this release reads. The message says where and why."""


def is_capture(head: bytes) -> bool:
    """Return whether a file with these first bytes is meant as a capture."""
    return head.lstrip().startswith(b"{") and _FIRST_KEY in head[:200]


class CaptureReader:
    """One capture; its lines can be read once. `closing` is there when they were, if it was written.

    `cut`: the file ends within a line, as that of a gateway that was killed does.
    """

    def __init__(self, file: BinaryIO) -> None:
        """Raises CaptureError where the first line is none of a capture."""
        self._file = file
        self._number = 0
        self._source = Once(self._lines(), "a capture")
        self.closing: Closing | None = None
        self.cut = False
        first = self._next()
        if first is None or "streamgauge_capture" not in first:
            raise CaptureError("line 1: this is no capture of streamgauge")
        if first["streamgauge_capture"] != VERSION:
            known = f"this release reads format {VERSION}"
            raise CaptureError(f"line 1: format {first['streamgauge_capture']}; {known}")
        self.opening = self._converted(first, Opening)
        if self.opening.protocol not in (None, *PROTOCOLS):
            raise CaptureError(f"line 1: the protocol {self.opening.protocol!r} is not known")
        if self.opening.integrity not in set(Integrity):
            raise CaptureError(f"line 1: integrity {self.opening.integrity!r} is not known")

    def lines(self) -> Iterator[Line]:
        """Yield what passed, in the order of the file. Raises CaptureError, IteratedTwice."""
        return iter(self._source)

    def _lines(self) -> Iterator[Line]:
        while (found := self._next()) is not None:
            if self.closing is not None:
                raise CaptureError(f"line {self._number}: something follows the closing line")
            if "closed" in found:
                self.closing = self._converted(found, Closing)
                continue
            line = self._converted(found, Line)
            if [line.head, line.data, line.b64, line.end].count(None) != 3:
                raise CaptureError(f"line {self._number}: one of head, data, b64, end is wanted")
            yield line

    def _next(self) -> dict[str, Any] | None:
        raw = self._file.readline(_LONGEST_LINE)
        if not raw:
            return None
        self._number += 1
        if not raw.endswith(b"\n"):
            self.cut = True
            return None
        try:
            found = msgspec.json.decode(raw, type=dict[str, Any])
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            raise CaptureError(f"line {self._number}: this is no JSON object") from None
        return found

    def _converted(self, found: dict[str, Any], kind: type[T]) -> T:
        try:
            return msgspec.convert(found, kind)
        except msgspec.ValidationError as error:
            raise CaptureError(f"line {self._number}: {error}") from None


@dataclass(frozen=True, slots=True)
class Message:
    """One direction as a whole: its head, its pieces with their times in µs, how it ended.

    `began`: when the head came, None without one.
    """

    head: str | None
    began: int | None
    pieces: tuple[tuple[int, bytes], ...]
    end: str | None
    ended: int | None

    @property
    def body(self) -> bytes:
        """All bytes."""
        return b"".join(data for _, data in self.pieces)

    @property
    def status(self) -> int | None:
        """The status of an answer's head."""
        word = "" if self.head is None else self.head.partition(" ")[2][:3]
        return int(word) if word.isascii() and word.isdigit() else None

    def header(self, name: str) -> str | None:
        """Return the first value of header `name` (lower case)."""
        for line in (self.head or "").split("\r\n")[1:]:
            key, _, value = line.partition(": ")
            if key.lower() == name:
                return value
        return None


def message_of(lines: list[Line], side: Side, way: Way, n: int | None = None) -> Message:
    """Return one direction of `lines`; `n`: the attempt, on the upstream's side."""
    head: str | None = None
    began: int | None = None
    end: str | None = None
    ended: int | None = None
    pieces: list[tuple[int, bytes]] = []
    for line in lines:
        if (line.side, line.dir, line.n) != (side, way, n):
            continue
        if line.head is not None:
            head, began = line.head, line.t
        elif line.end is not None:
            end, ended = line.end, line.t
        elif (body := line.body) is not None:
            pieces.append((line.t, body))
    return Message(head, began, tuple(pieces), end, ended)
