"""What an exchange needs of the way from an upstream's stream to its client. Knows no bytes."""

from __future__ import annotations

from enum import Enum, auto
from typing import Protocol

from streamgauge.core.errors import GatewayError
from streamgauge.core.events import Failed
from streamgauge.core.meter import Meter

__all__ = ["COMMENT_LIMIT", "EMPTY", "HOLD_BYTES", "HOLD_FRAMES", "Hold", "Passage", "Turn"]

COMMENT_LIMIT = 8 * 1024 * 1024
"""Keep-alives in a row beyond this are an attack on our patience (FAULTS S17)."""

HOLD_FRAMES = 64
HOLD_BYTES = 256 * 1024
"""Frames held before the head goes out are bounded by both (SPEC §14.2)."""

EMPTY = Failed("the upstream's answer was empty")
"""A clean end of nothing would make agents ask again for ever (WIRE §0.4, §5.1)."""


class Turn(Enum):
    """What one read brought, beside bytes."""

    NOTHING = auto()
    MARKER = auto()
    ERROR = auto()


class Hold(Enum):
    """What is kept back at first, so that a failure can still be mended (SPEC §14.2)."""

    NOTHING = auto()
    """The head is out, and nothing could be mended."""
    COMMENTS = auto()
    """What comes before the first frame: a failure is then an HTTP error."""
    FRAMES = auto()
    """What comes before the first content: another attempt may follow."""


class Passage(Protocol):
    """One upstream stream on its way to the client: relayed as it is, or translated.

    `released`: bytes may leave, none is held. `over`: the client gets no more, it only meters.
    `progress`: the last read brought anything but keep-alives. `frames_out`: frames with data.
    """

    meter: Meter
    released: bool
    over: bool
    progress: bool
    frames_out: int

    @property
    def parsed(self) -> int:
        """Frames decoded so far."""

    @property
    def inside(self) -> bool:
        """Whether the client has part of a frame whose end has not come."""

    @property
    def inside_data(self) -> bool:
        """Whether that part is a frame with data, once a blank line closes it."""

    @property
    def flooded(self) -> bool:
        """Whether more bytes of keep-alives came in a row than anyone means."""

    @property
    def beside(self) -> bytes:
        """The payload of a frame as the upstream sent it, b"" where the client's are our own."""

    @property
    def awaits_marker(self) -> bool:
        """Whether all was said but the end marker, for which the client need not wait long."""

    def feed(self, data: bytes, now: float) -> tuple[Turn, bytes]:
        """Return what `data` brought and the bytes to send now. Raises FrameTooLarge."""

    def take_held(self) -> list[bytes]:
        """Return what was held, and hold no more."""

    def keep_alive(self, alive: bytes) -> bytes:
        """Return the sign of life to send; `alive` is the dialect's own (SPEC §4.4)."""

    def fail(self, error: GatewayError) -> bytes | None:
        """Return and count what ends the stream with `error`, None where the dialect's frame does."""

    def mute(self) -> None:
        """The client is gone: from now on only meter."""

    def own_error(self, dialect: str) -> bytes | None:
        """Return the upstream's error frame as it came, where clients of `dialect` can read it."""

    def close(self) -> bytes:
        """Return what closes an answer whose finish came and whose end marker did not."""
