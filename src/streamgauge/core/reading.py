"""Reads one upstream stream: splits, decodes and meters it, and says what each piece is."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum, auto

import msgspec

from streamgauge.core.dialects.base import Decoder, Splitter
from streamgauge.core.events import (
    Ended,
    Event,
    Failed,
    Noted,
    TimingsReported,
    UsageReported,
)
from streamgauge.core.meter import Meter
from streamgauge.core.pings import is_ping
from streamgauge.core.record import Anomaly
from streamgauge.core.replay_watch import ReplayWatch
from streamgauge.core.sse import Frame, FrameKind, FrameSplitter

__all__ = ["Piece", "PieceKind", "StreamReading"]


class PieceKind(Enum):
    """What a piece of the upstream's stream means for the relay."""

    CONTENT = auto()
    """A frame with text, reasoning or tool arguments."""
    DATA = auto()
    """Any other frame with data."""
    KEEPALIVE = auto()
    """Comments and pings: relayed in place, counted in nothing."""
    USAGE = auto()
    """A frame that carries usage and nothing else."""
    MARKER = auto()
    """The frame with the end marker."""
    ERROR = auto()
    """A frame with an error object."""
    PART = auto()
    """A piece of a large frame that has not ended yet."""


# Reading an Enum's member off its class takes a look-up each time, and these are read per frame.
_CONTENT = PieceKind.CONTENT
_DATA = FrameKind.DATA


class Piece(msgspec.Struct, gc=False):
    """A piece of the wire, `raw` as received. A struct: one is made for every frame."""

    kind: PieceKind
    raw: bytes
    payload: bytes | None = None
    events: Sequence[Event] = ()


class StreamReading:
    """One stream being read. The meter can never harm it: what it raises is an anomaly (§4.8)."""

    __slots__ = ("_splitter", "decoder", "meter", "parsed", "watch")

    hands_on = True
    """Its pieces are what was read, byte for byte."""

    def __init__(
        self,
        decoder: Decoder,
        meter: Meter,
        splitter: Splitter | None = None,
        watch: ReplayWatch | None = None,
    ) -> None:
        """`splitter`: for what is no stream of server-sent events. `watch` looks at every frame."""
        self._splitter: Splitter = FrameSplitter() if splitter is None else splitter
        self.decoder = decoder
        self.watch = watch
        self.meter = meter
        self.parsed = 0

    @property
    def inside(self) -> bool:
        """Whether part of an unfinished frame has been passed on (it must be closed, SPEC §4.1)."""
        return self._splitter.inside

    @property
    def inside_data(self) -> bool:
        """Whether what has left of it is a frame with data."""
        return self._splitter.inside_data

    def whole(self, data: bytes) -> tuple[bytes, bytes] | None:
        """Return payload and event where `data`, read last, was one plain frame; else None.

        None as well where something of another frame is kept.
        """
        return self._splitter.read_whole(data)

    def feed(self, data: bytes, now: float) -> Sequence[Piece]:
        """Return the pieces that `data` completes. Raises FrameTooLarge."""
        whole = self._splitter.read_whole(data)
        if whole is not None:
            if self.watch is not None:
                self.watch.data, self.watch.whole = data, whole
            return (self._read(data, whole[0], whole[1], now),)
        pieces = [self._piece(frame, now) for frame in self._splitter.feed(data)]
        if self._splitter.bom_removed:
            self.meter.note(Anomaly.BOM_REMOVED)
        return pieces

    def _piece(self, frame: Frame, now: float) -> Piece:
        if frame.kind is _DATA:
            if self.watch is not None and frame.raw[:1] == b":":
                self.watch.stamped(frame.raw)
            return self._read(frame.raw, frame.payload, frame.event, now)
        if frame.kind is FrameKind.PART:
            return Piece(PieceKind.PART, frame.raw)
        return Piece(PieceKind.KEEPALIVE, frame.raw)

    def _read(self, raw: bytes, payload: bytes | None, event: bytes, now: float) -> Piece:
        meter = self.meter
        if payload is None:
            meter.frames += 1
            meter.note(Anomaly.OVERSIZE_LINE)
            return Piece(PieceKind.DATA, raw)
        if is_ping(payload, event):
            return Piece(PieceKind.KEEPALIVE, raw)  # it counts in nothing, whatever it says
        events: Sequence[Event] = ()
        content = False
        self.parsed += 1
        try:
            if payload:
                events = self.decoder.decode(payload, event)
            if self.watch is not None:
                self.watch.observe(payload, events)
            if meter.ended and events:
                events = self._late(events)
            content = meter.observe(events, now)
        except Exception:  # the meter harms no frame (SPEC §4.8): an anomaly on the row
            meter.note(Anomaly.METER_ERROR)
        meter.frames += 1
        if content and len(events) == 1:
            return Piece(_CONTENT, raw, None, events)
        return Piece(_kind_of(events, content), raw, payload, events)

    def _late(self, events: Sequence[Event]) -> Sequence[Event]:
        """Note what comes behind the end marker; of it only usage still counts (SPEC §5.4)."""
        for event in events:
            if isinstance(event, Ended):
                self.meter.note(Anomaly.SECOND_MARKER)
            elif isinstance(event, UsageReported):
                self.meter.note(Anomaly.USAGE_AFTER_MARKER)
            else:
                self.meter.note(Anomaly.DATA_AFTER_MARKER)
        return tuple(e for e in events if isinstance(e, UsageReported | TimingsReported | Noted))


def _kind_of(events: Sequence[Event], content: bool) -> PieceKind:
    kind = PieceKind.CONTENT if content else PieceKind.DATA
    for event in events:
        if isinstance(event, Failed):
            return PieceKind.ERROR
        if isinstance(event, Ended):
            kind = PieceKind.MARKER
        elif isinstance(event, UsageReported) and event.alone and kind is PieceKind.DATA:
            kind = PieceKind.USAGE
    return kind
