"""The seams of a resume: between a kept stream, its relay and the place where all are kept.

Nothing here does anything.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from streamgauge.core.resume import FrameBuffer
from streamgauge.gateway.http import ClientEvents, Responder
from streamgauge.gateway.timers import Timer

__all__ = ["Kept", "ResumeEvents", "StreamStore"]


class ResumeEvents(ClientEvents, Protocol):
    """What a relay is told of a client that may come back."""

    def client_away(self) -> None:
        """No connection has all that was sent."""

    def client_back(self) -> None:
        """A connection has all that was sent, with the end if there is one."""


class Kept(Protocol):
    """What the place where all are kept needs of a stream."""

    @property
    def id(self) -> str:
        """The id of its exchange."""

    @property
    def key_id(self) -> str | None:
        """Whose it is."""

    @property
    def is_read(self) -> bool:
        """Whether some client has it whole, and none is reading it again."""

    @property
    def buffer(self) -> FrameBuffer:
        """What is kept of it."""

    def attach(self, responder: Responder, after: int) -> None:
        """Let a connection read on behind frame `after`. Raises GatewayError."""

    def press(self) -> None:
        """Look whether there is room for more."""

    def abort(self) -> None:
        """Drop the client's connection and all that is kept."""


class StreamStore(Protocol):
    """What a stream needs of the place where all are kept. Sizes in bytes, times in seconds."""

    bytes: int

    def call_later(self, delay: float, call: Callable[[], None]) -> Timer:
        """Run `call` in `delay` seconds, unless the handle is cancelled before."""

    def opened(self, stream: Kept) -> None:
        """It can be found from now on."""

    def read(self, stream: Kept) -> None:
        """It was read to its end: others may need its room more."""

    def forgot(self, stream: Kept) -> None:
        """It is gone, with what it kept."""

    def room_for(self, size: int) -> int:
        """Return how much a stream that holds `size` may hold."""

    def note_full(self, stream: Kept, full: bool) -> None:
        """Look at it again when there is more room, if it is `full`."""

    @property
    def half(self) -> int:
        """How much of what was sent already is kept while a client is there."""

    @property
    def headroom(self) -> int:
        """What may still come of an upstream that was told to wait."""
