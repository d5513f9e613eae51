"""Reads a stream whose frames are rewritten behind the meter. It knows no dialect and no status."""

from __future__ import annotations

from collections.abc import Sequence

from streamgauge.core.dialects.base import Decoder
from streamgauge.core.meter import Meter
from streamgauge.core.reading import Piece, PieceKind, StreamReading
from streamgauge.core.replay_watch import ReplayWatch
from streamgauge.core.sse import FrameSplitter
from streamgauge.core.transform.frames import FrameRewriter

__all__ = ["RewritingReading"]


class RewritingReading(StreamReading):
    """A stream being read, of which the client gets what `rewriters` make of it, in their order.

    The meter sees what the upstream sent. A frame so large that it is passed on in parts stays.
    """

    __slots__ = ("_parted", "_rewriters")

    hands_on = False

    def __init__(
        self,
        decoder: Decoder,
        meter: Meter,
        rewriters: Sequence[FrameRewriter],
        watch: ReplayWatch | None = None,
    ) -> None:
        super().__init__(decoder, meter, watch=watch)
        self._rewriters = rewriters
        self._parted = False

    def feed(self, data: bytes, now: float) -> Sequence[Piece]:
        """Return the pieces that `data` completes, rewritten. Raises FrameTooLarge."""
        return [told for piece in super().feed(data, now) for told in self._told(piece)]

    def _told(self, piece: Piece) -> Sequence[Piece]:
        if piece.kind is PieceKind.PART:
            before = [] if self._parted else self._end()
            self._parted = True
            return [*before, piece]
        if piece.kind is PieceKind.KEEPALIVE:
            return (piece,)
        if piece.kind is PieceKind.ERROR:
            return [*self._end(), piece]
        if self._parted:
            self._parted = False
            return (piece,)
        frames = self._rewritten([piece.raw])
        if frames == [piece.raw]:
            return (piece,)
        if not frames:  # it came, and nothing of it may leave yet
            return (Piece(PieceKind.PART, b"", piece.payload, piece.events),)
        *before_it, last = frames
        again = Piece(piece.kind, last, piece.payload, piece.events)
        return [*(Piece(PieceKind.CONTENT, frame) for frame in before_it), again]

    def _rewritten(self, frames: list[bytes]) -> list[bytes]:
        for rewriter in self._rewriters:
            frames = [told for frame in frames for told in _through(rewriter, frame)]
        return frames

    def _end(self) -> list[Piece]:
        frames: list[bytes] = []
        for rewriter in self._rewriters:
            frames = [told for frame in frames for told in _through(rewriter, frame)]
            frames += rewriter.end()
        return [Piece(PieceKind.CONTENT, frame) for frame in frames]


def _through(rewriter: FrameRewriter, raw: bytes) -> Sequence[bytes]:
    splitter = FrameSplitter()
    whole = [frame for frame in splitter.feed(raw + b"\n\n") if frame.payload is not None]
    if len(whole) != 1 or not whole[0].payload:
        return [raw]
    try:
        return rewriter.rewrite(raw, whole[0].payload, whole[0].event)
    except RecursionError:  # nested to the limit: read, and too deep to be written
        return [raw]
