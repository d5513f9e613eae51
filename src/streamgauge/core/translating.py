"""What the client sees of a stream that is translated for it. It knows no dialect and no status."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from streamgauge.core.dialects.base import Encoder, SelfEnding
from streamgauge.core.errors import GatewayError
from streamgauge.core.events import Ended, Event
from streamgauge.core.meter import Meter
from streamgauge.core.passage import COMMENT_LIMIT, EMPTY, HOLD_BYTES, HOLD_FRAMES, Hold, Turn
from streamgauge.core.reading import Piece, PieceKind, StreamReading

__all__ = ["Translating"]

_PING = b"event: ping"
_NOTHING = Turn.NOTHING
_CONTENT, _KEEPALIVE, _PART = PieceKind.CONTENT, PieceKind.KEEPALIVE, PieceKind.PART


class Translating:
    """The client's side of a stream in another dialect. Implements Passage.

    Content leaves with the read that brought it; finish and usage wait for the end marker. The
    upstream's keep-alives stay behind: the client gets our own. `frame_end` closes each frame of
    the client's dialect. `metadata` returns the bytes to add at the end in `mode` (SPEC §10).
    """

    __slots__ = (
        "_comments",
        "_frame_end",
        "_held",
        "_holding",
        "_metadata",
        "_mode",
        "encoder",
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
        encoder: Encoder,
        *,
        frame_end: bytes,
        hold: Hold,
        mode: str,
        metadata: Callable[[], bytes],
    ) -> None:
        self.reading = reading
        self.meter: Meter = reading.meter
        self.encoder = encoder
        self._frame_end = frame_end
        self._mode = mode
        self._metadata = metadata
        self._comments = 0
        self._holding = hold is Hold.FRAMES
        self._held = b""
        self.released = False
        self.over = False
        self.progress = False
        self.frames_out = 0

    @property
    def parsed(self) -> int:
        """Frames decoded so far."""
        return self.reading.parsed

    @property
    def inside(self) -> bool:
        """Never: frames leave whole."""
        return False

    @property
    def inside_data(self) -> bool:
        """Never, either."""
        return False

    @property
    def flooded(self) -> bool:
        """Whether more bytes of keep-alives came in a row than anyone means."""
        return self._comments > COMMENT_LIMIT

    @property
    def awaits_marker(self) -> bool:
        """Whether the finish came: only usage and the end marker may still follow."""
        # The encoder knows the choices that have begun, the meter how many were asked for.
        finished = self.encoder.finished and self.meter.finish_reason is not None
        return finished and not self.over

    def feed(self, data: bytes, now: float) -> tuple[Turn, bytes]:
        """Return what `data` brought and the frames to send now. Raises FrameTooLarge."""
        pieces = self.reading.feed(data, now)
        if len(pieces) == 1 and pieces[0].kind is _CONTENT and not self.over:
            # Measured: nearly every read of a live stream is one frame of content.
            self.progress = True
            self._comments = 0
            out = self.encoder.encode(pieces[0].events)
            if self._holding:
                out = self._let_go(out)
            if out:
                self.released = True
                self.frames_out += out.count(self._frame_end)
            return _NOTHING, out
        self.progress = False
        turn, out = _NOTHING, b""
        for piece in pieces:
            if piece.kind is _KEEPALIVE:
                self._comments += len(piece.raw)
                continue
            self.progress = True
            self._comments = 0
            if self.over or piece.kind is _PART:
                continue
            turn, said = self._say(piece)
            out += said
            if piece.kind is _CONTENT or turn is Turn.MARKER:
                out = self._let_go(out)
        if self._holding:
            out = self._hold(out)
        if out:
            self.released = True
            self.frames_out += out.count(self._frame_end)
        return turn, out

    def _let_go(self, out: bytes) -> bytes:
        """Return what was held and `out`, and hold no more."""
        held, self._held, self._holding = self._held, b"", False
        return held + out

    def _hold(self, out: bytes) -> bytes:
        """Keep `out` back until content comes, within the bounds of SPEC §14.2."""
        self._held += out
        frames = self._held.count(self._frame_end)
        within = frames <= HOLD_FRAMES and len(self._held) <= HOLD_BYTES
        return b"" if within else self._let_go(b"")

    def _say(self, piece: Piece) -> tuple[Turn, bytes]:
        if piece.kind is PieceKind.ERROR:
            self.over = True
            return Turn.ERROR, self.encoder.encode(_before_failure(piece.events))
        if piece.kind is not PieceKind.MARKER:
            return _NOTHING, self.encoder.encode(piece.events)
        self.over = True
        said = self.encoder.encode([e for e in piece.events if not isinstance(e, Ended)])
        meter = self.meter
        if not (self.encoder.finished or meter.content_frames or meter.calls is not None):
            meter.failed = EMPTY
            return Turn.ERROR, said
        return Turn.MARKER, said + self._end()

    def _end(self) -> bytes:
        added = b"" if self._mode == "off" else self._metadata()
        if added.startswith(_PING):
            self.frames_out -= 1  # it is counted with the rest, and pings do not count
        usage = self.meter.booked().usage
        if self._mode == "after_done":
            return self.encoder.end(usage) + added
        return self.encoder.end(usage, added)

    @property
    def beside(self) -> bytes:
        """Nothing: what the client is sent is written here, with the exchange's own id."""
        return b""

    def take_held(self) -> list[bytes]:
        """Return what was held, and hold no more."""
        held = self._let_go(b"")
        if not held:
            return []
        self.released = True
        self.frames_out += held.count(self._frame_end)
        return [held]

    def mute(self) -> None:
        """The client is gone: from now on only meter."""
        self.over = True
        self._let_go(b"")

    def own_error(self, dialect: str) -> bytes | None:
        """Return None: the upstream's error is in another dialect."""
        return None

    def keep_alive(self, alive: bytes) -> bytes:
        """Return the encoder's sign of life, where it has one of its own, else the dialect's."""
        own = self.encoder.keepalive() if isinstance(self.encoder, SelfEnding) else None
        return own or alive

    def fail(self, error: GatewayError) -> bytes | None:
        """Return the encoder's own end of an answer that failed, where it has one."""
        if not isinstance(self.encoder, SelfEnding):
            return None
        ending = self.encoder.fail(error)
        self.frames_out += ending.count(self._frame_end)
        return ending

    def close(self) -> bytes:
        """Return what closes an answer whose finish came and whose end marker did not (§5.3)."""
        if self.over or not self.encoder.finished:
            return b""
        self.over = True
        closing = self.encoder.end(self.meter.booked().usage)
        self.frames_out += closing.count(self._frame_end)
        return closing


def _before_failure(events: Sequence[Event]) -> list[Event]:
    """Return what a frame said before its error: no finish, for the error is the end."""
    return [e for e in events if getattr(e, "text", None) or getattr(e, "arguments", None)]
