"""Numbers and hashes what one client is sent, frame by frame (SPEC §12.1). Knows no row, no dialect.

A frame's payload is its data lines joined by LF, as sent. Comments and pings are no frames.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from streamgauge.core.integrity_stamp import (
    UNCHANGED,
    AddedText,
    LastRead,
    Stamp,
    Style,
    between_frames,
    characters,
    holds_record,
    short_sha1,
    text_bytes,
    with_member,
    without_ids,
)
from streamgauge.core.ndjson import NdjsonSplitter
from streamgauge.core.pings import PING_PAYLOADS, is_ping
from streamgauge.core.sse import READ_UP_TO, Frame, FrameKind, FrameSplitter, FrameTooLarge

__all__ = ["HASHED_AT_ONCE", "Integrity", "Marker", "Stamp", "Stamper", "Style", "short_sha1"]

_OURS = b"streamgauge"
_BLANKS = tuple(bytes((blank,)) for blank in b" \t\n\r\x0b\f")
HASHED_AT_ONCE = 2047
"""Bytes; for more, hashlib lets go of the interpreter, and who waits comes first."""
_NOTHING_READ = LastRead()
_DATA, _PART, _SILENT = FrameKind.DATA, FrameKind.PART, FrameKind.SILENT


class Integrity(StrEnum):
    """How a stream is proved: not at all, by the row's hash, by stamps beside or inside frames."""

    OFF = "off"
    LEDGER = "ledger"
    COMMENT = "comment"
    FIELD = "field"


@dataclass(frozen=True, slots=True)
class Marker:
    """How a dialect's end marker begins: by its payload, or by its event's name.

    `alone`: one of `payloads` is all that it says, but for blanks.
    """

    payloads: tuple[bytes, ...]
    events: frozenset[bytes] = frozenset()
    alone: bool = False
    told_payloads: tuple[bytes, ...] = field(init=False, repr=False, compare=False)
    told_events: frozenset[bytes] = field(init=False, repr=False, compare=False)
    """The same with those of a ping and of our record: none of them is a plain frame's."""

    def __post_init__(self) -> None:
        blanks = _BLANKS if self.alone else ()
        object.__setattr__(self, "told_payloads", (*PING_PAYLOADS, *self.payloads, *blanks))
        object.__setattr__(self, "told_events", self.events | {b"ping", _OURS})

    def is_met(self, payload: bytes | None, event: bytes) -> bool:
        """Return whether a frame is the end marker."""
        if event in self.events or payload is None:
            return event in self.events
        if self.alone:
            return payload.startswith(self.told_payloads) and payload.strip() in self.payloads
        return payload.startswith(self.payloads)


class Stamper:
    """Takes every byte on its way to one client, and changes none unless its style asks for it.

    `seq`: the number of the last frame sent. `watches`: somebody wants to know each stamp, so that
    `received` is to be called. It never raises: what it cannot follow passes, and is unknown.
    """

    __slots__ = (
        "_acc",
        "_begun",
        "_events",
        "_hash",
        "_held",
        "_known",
        "_lost",
        "_marker",
        "_observe",
        "_over",
        "_own_splitter",
        "_payloads",
        "_raw",
        "_style",
        "_texts",
        "_unnumbered",
        "fast",
        "last_read",
        "plain",
        "seq",
        "stream_id",
        "watches",
    )

    def __init__(
        self,
        stream_id: str,
        marker: Marker,
        style: Style = UNCHANGED,
        observe: Callable[[Stamp], None] | None = None,
        texts: AddedText | None = None,
    ) -> None:
        """`texts`: reads what a frame adds; then that is hashed and counted, and no payload is."""
        self.stream_id = stream_id
        self.seq = 0
        self.watches = style.changes or observe is not None
        self._marker = marker
        self._style = style
        self._observe = observe
        self._texts = texts
        self.plain = not self.watches and texts is None
        """Frames of text are only numbered and hashed."""
        self.fast = True
        """No frame is begun, and none was the end marker."""
        self._payloads = marker.told_payloads
        self._events = marker.told_events
        self.last_read = _NOTHING_READ
        """What was read of the upstream, where somebody does."""
        self._own_splitter: FrameSplitter | NdjsonSplitter | None = None
        self._hash = hashlib.sha1(usedforsecurity=False)
        self._acc = self._raw = 0
        self._unnumbered = 0  # behind the end marker, and our record in a protocol with stamps
        self._held: list[bytes] = []
        self._begun = False  # a frame too large to be hashed has been let go with its stamp
        self._known = True
        self._over = self._lost = False

    @property
    def frames_out(self) -> int | None:
        """Frames with data that were sent, with those that have no number; None is unknown."""
        return None if self._lost else self.seq + self._unnumbered

    @property
    def stream_sha1(self) -> str | None:
        """The hash of all that was sent, each piece followed by LF; None without one, or unknown."""
        return self._hash.hexdigest() if self.seq and self._known else None

    def hands_on(self, payload: bytes, event: bytes) -> bool:
        """Whether a frame now would only be numbered and hashed, its payload and LF.

        So would a later one, while `fast`, whose event and first 32 bytes of payload are the same.
        """
        if not (self.fast and self.plain) or event in self._events:
            return False
        return not payload.startswith(self._payloads)

    def hand_on(self, pieces: Iterable[bytes], count: int) -> None:
        """Number and hash `count` frames of which `hands_on` is true: each payload, and LF.

        `pieces`: these bytes, cut anywhere.
        """
        self.seq += count
        for piece in pieces:
            for at in range(0, len(piece), HASHED_AT_ONCE):
                self._hash.update(piece[at : at + HASHED_AT_ONCE])

    def received(self, payload: bytes, text: str) -> None:
        """Count what the upstream sent: a frame's payload, and the text in it."""
        self._raw += characters(payload) if self._texts is None else len(text)

    def alive(self, data: bytes) -> bytes:
        """Return what to send in place of `data`, which ends with a sign of life (SPEC §4.4)."""
        if self._style.lines:
            return data  # it looks like any other line, and nothing is ever held before it
        line = data[data.rfind(b"\n", 0, -1) + 1 :]
        if not line.startswith(b":"):
            return self.stamp(data)
        return self.stamp(data[: len(data) - len(line)]) + line  # a comment stands for itself

    def stamp(self, data: bytes) -> bytes:
        """Return what to send in place of `data`."""
        if self.fast:
            last = self.last_read
            whole = last.whole if data is last.data else self._splitter.read_whole(data)
            if whole is not None:  # measured: nearly every write of a live stream
                payload, event = whole
                if not payload.startswith(self._payloads) and event not in self._events:
                    if not self.plain:
                        return self._count(data, payload, event)
                    self.seq += 1
                    self._hash.update(payload + b"\n")
                    return data
                if self.plain and self._marker.is_met(payload, event) and not is_ping(*whole):
                    self.fast = False
                    return self._count(data, payload, event)
        sent = self._each(data)
        self.fast = not self._over and self._splitter.between
        return sent

    @property
    def _splitter(self) -> FrameSplitter | NdjsonSplitter:
        """Made when it is wanted: few streams have more to split than the upstream's reader did."""
        if self._own_splitter is None:
            made = NdjsonSplitter if self._style.lines else FrameSplitter
            self._own_splitter = made(begun=True)
        return self._own_splitter

    def _each(self, data: bytes) -> bytes:
        if self._lost:
            return data
        try:
            out = [self._frame(frame) for frame in self._splitter.feed(data)]
        except FrameTooLarge:
            self._lost, self._known = True, False
            return b"".join([*self._held, data])
        return b"".join(out) if self._style.changes else data

    def _frame(self, frame: Frame) -> bytes:
        if frame.kind is _PART:
            return self._part(frame.raw)
        raw, begun, self._begun = frame.raw, self._begun, False
        if self._held:
            raw = b"".join([*self._held, raw])
            self._held.clear()
        if frame.kind is not _DATA:
            # In a stream with ids it would be an event.
            return between_frames(raw) if self._style.ids and frame.kind is _SILENT else raw
        if is_ping(frame.payload, frame.event):
            return without_ids(raw) if self._style.ids else raw
        if self._over or (frame.event == _OURS and self._own_stamps):
            self._unnumbered += 1
            return self._with_id(self.seq + self._unnumbered, raw) if self._over else raw
        return raw if begun else self._count(raw, frame.payload, frame.event)

    @property
    def _own_stamps(self) -> bool:
        """Whether the client's protocol has stamps of its own, so that only they are hashed."""
        return self._texts is not None and not self._style.fields

    def _part(self, raw: bytes) -> bytes:
        """Hold a large frame until its hash is known, but not beyond what is read (SPEC §4.7)."""
        if not self._style.changes or self._begun:
            return raw
        self._held.append(raw)
        if sum(map(len, self._held)) <= READ_UP_TO:
            return b""
        self._begun = True
        held = b"".join(self._held)
        self._held.clear()
        return self._count(held, None, b"")

    def _count(self, raw: bytes, payload: bytes | None, event: bytes) -> bytes:
        """Count a frame; return it with its stamp."""
        self.seq += 1
        text = None if self._texts is None or payload is None else self._texts(payload, event)
        hashed = payload if self._texts is None else text_bytes(text)
        if payload is None:
            self._known = False
        elif hashed is not None:
            self._hash.update(hashed + b"\n")
        self._over = self._marker.is_met(payload, event)
        if not self.watches:
            return raw
        stamp = self._stamp_of(hashed, payload)
        if self._observe is not None:
            self._observe(stamp)
        return self._written(stamp, raw, payload, text, event)

    def _stamp_of(self, hashed: bytes | None, payload: bytes | None) -> Stamp:
        if hashed is not None:
            self._acc += characters(hashed)
        sha1 = None if hashed is None else short_sha1(hashed)
        # In a stream of stamped frames nobody knows which one is the last: totals run along.
        total = self._over or (self._style.fields and not hashed)
        whole = self.stream_sha1 if total else None
        last = total and self._marker.alone and holds_record(payload, self.stream_id)
        return Stamp(self.seq, sha1, self._acc, self._raw, self._over, whole, int(last))

    def _written(
        self, stamp: Stamp, raw: bytes, payload: bytes | None, text: str | None, event: bytes
    ) -> bytes:
        if self._style.fields and payload is not None and text is not None:
            raw = with_member(raw, payload, event, stamp.as_json(self.stream_id))
        if self._style.comments:
            line = b": streamgauge-frame " + stamp.as_json(self.stream_id) + b"\n"
            raw = line + raw
        return self._with_id(stamp.seq, raw)

    def _with_id(self, number: int, raw: bytes) -> bytes:
        """Return a frame with its `id:` line, where a resume begins (core/resume.py)."""
        if not self._style.ids:
            return raw
        return f"id: {self.stream_id}:{number}\n".encode() + without_ids(raw)
