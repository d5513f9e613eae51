"""What the client sees of one upstream stream: holding, hiding, metadata. It knows no status."""

from __future__ import annotations

from collections.abc import Callable

from streamgauge.core.errors import GatewayError
from streamgauge.core.meter import Meter
from streamgauge.core.passage import COMMENT_LIMIT, HOLD_BYTES, HOLD_FRAMES, Hold, Turn
from streamgauge.core.reading import Piece, PieceKind, StreamReading
from streamgauge.core.refusal import is_own_shape

__all__ = ["Relaying"]

_PROGRESS = b'"prompt_progress"'
"""llama.cpp's sign that it works: who waits for it wants to see it (SPEC §14.2)."""
_CONTENT = PieceKind.CONTENT
_NOTHING = Turn.NOTHING


class Relaying:
    """The client's side of a stream of its own dialect. Implements Passage.

    `hold`: what is kept back at first. `hide_usage`: usage-only frames are ours and are removed.
    `metadata`: the mode of SPEC §10 and a function that returns the bytes to add. Once `over` it
    only meters.
    """

    __slots__ = (
        "_comments",
        "_held",
        "_held_bytes",
        "_hide_usage",
        "_hold",
        "_metadata",
        "_mode",
        "beside",
        "error_frame",
        "error_payload",
        "frames_out",
        "meter",
        "over",
        "progress",
        "reading",
        "released",
    )

    def __init__(
        self,
        reading: StreamReading,
        *,
        hide_usage: bool,
        mode: str,
        metadata: Callable[[], bytes],
        hold: Hold,
    ) -> None:
        self.reading = reading
        self.meter: Meter = reading.meter
        self._hide_usage = hide_usage
        self._mode = mode
        self._metadata = metadata
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._comments = 0
        self._hold = hold
        self.released = hold is Hold.NOTHING
        self.over = False
        self.progress = False
        self.error_frame = self.error_payload = b""
        self.beside = b""
        self.frames_out = 0

    @property
    def parsed(self) -> int:
        """Frames decoded so far."""
        return self.reading.parsed

    @property
    def inside(self) -> bool:
        """Whether the client has part of a frame whose end has not come."""
        return self.reading.inside and not self.over

    @property
    def inside_data(self) -> bool:
        """Whether what it has of it is a frame with data."""
        return self.inside and self.reading.inside_data

    @property
    def flooded(self) -> bool:
        """Whether more bytes of keep-alives came in a row than anyone means."""
        return self._comments > COMMENT_LIMIT

    def feed(self, data: bytes, now: float) -> tuple[Turn, bytes]:
        """Return what `data` brought and the bytes to send now. Raises FrameTooLarge.

        After it `progress` says whether anything but keep-alives came.
        """
        pieces = self.reading.feed(data, now)
        if len(pieces) == 1 and self.released and not self.over and pieces[0].kind is _CONTENT:
            # Measured: nearly every read of a live stream is one frame of content.
            self.progress = True
            self._comments = 0
            self.frames_out += 1
            return _NOTHING, pieces[0].raw
        self.progress = False
        turn, out = Turn.NOTHING, list[bytes]()
        for piece in pieces:
            if piece.kind is _CONTENT and not self.over:
                self.progress = self.released = True
                self._comments = 0
                self.frames_out += 1
                out.append(piece.raw)
                continue
            self._count(piece)
            if not self.over:
                turn = self._pass(piece, out)
        return turn, self._release(out)

    def _count(self, piece: Piece) -> None:
        if piece.kind is PieceKind.KEEPALIVE:
            self._comments += len(piece.raw)
        else:
            self.progress = True
            self._comments = 0

    def _pass(self, piece: Piece, out: list[bytes]) -> Turn:
        kind = piece.kind
        if kind in (PieceKind.DATA, PieceKind.USAGE):
            self.beside = piece.payload or self.beside
        if kind is PieceKind.USAGE and self._hide_usage:
            return Turn.NOTHING
        if kind is PieceKind.ERROR:
            self.over = True
            self.error_frame, self.error_payload = piece.raw, piece.payload or b""
            return Turn.ERROR
        if kind is PieceKind.MARKER:
            self._mark(piece.raw, out)
            return Turn.MARKER
        if kind not in (PieceKind.KEEPALIVE, PieceKind.PART):
            self.frames_out += 1
        if kind is not PieceKind.KEEPALIVE and self._shows(piece):
            self.released = True
        out.append(piece.raw)
        return Turn.NOTHING

    def _shows(self, piece: Piece) -> bool:
        """Whether a frame without content may be seen at once."""
        if self._hold is not Hold.FRAMES:
            return True
        return piece.kind is PieceKind.PART or _PROGRESS in piece.raw

    def _mark(self, raw: bytes, out: list[bytes]) -> None:
        self.over = self.released = True
        self.frames_out += 1
        added = b"" if self._mode == "off" else self._metadata()
        if _is_frame(added):
            self.frames_out += 1
        out += (raw, added) if self._mode == "after_done" else (added, raw)

    def _release(self, out: list[bytes]) -> bytes:
        """Return the bytes that may go, or hold them."""
        if self.released:
            if self._held:
                out[:0] = self.take_held()
            return b"".join(out)
        self._held += out
        self._held_bytes += sum(map(len, out))
        if len(self._held) <= HOLD_FRAMES and self._held_bytes <= HOLD_BYTES:
            return b""
        self.released = True
        return b"".join(self.take_held())

    def take_held(self) -> list[bytes]:
        """Return what was held, and hold no more."""
        held, self._held = self._held, []
        self._held_bytes = 0
        return held

    @property
    def awaits_marker(self) -> bool:
        """Never: what the client has is all that it gets until the upstream goes on."""
        return False

    def own_error(self, dialect: str) -> bytes | None:
        """Return the upstream's error frame as it came, where clients of `dialect` can read it."""
        return self.error_frame if is_own_shape(dialect, self.error_payload) else None

    def keep_alive(self, alive: bytes) -> bytes:
        """Return the dialect's own, behind what was held: the head goes out with it.

        What is held for another attempt's sake stays.
        """
        if self._hold is Hold.FRAMES and not self.released:
            return alive
        self.released = True
        return b"".join([*self.take_held(), alive])

    def fail(self, error: GatewayError) -> None:
        """Return None: the dialect's error frame fits everywhere."""

    def close(self) -> bytes:
        """Return nothing: no end marker is invented (SPEC §5.3)."""
        return b""

    def mute(self) -> None:
        """The client is gone: from now on only meter."""
        self.over = True
        self.take_held()


def _is_frame(added: bytes) -> bool:
    """Whether metadata counts as a frame sent: neither a comment nor a ping does (SPEC §8.3)."""
    return bool(added) and not added.startswith((b":", b"event: ping"))
