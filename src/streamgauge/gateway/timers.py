"""Timers that never ring before what waits in the sockets has been read. Knows no stream."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

__all__ = ["FairTimer", "Timer"]

_LATE: Final = 0.25
"""Seconds of lateness from which on the loop stood still, and others may have been in time."""
_READING: Final = 0.02
"""Seconds until it rings then: timers come before sockets, so that one round of these fits in."""


class Timer(Protocol):
    """What was asked for by `call_later`."""

    def cancel(self) -> None:
        """Never call."""


class FairTimer:
    """Calls `call` in `delay` seconds, and a moment later if the loop comes late to it.

    A process that was paused finds its deadlines over and the bytes that met them unread.
    """

    __slots__ = ("_call", "_due", "_handle", "_loop")

    def __init__(
        self, loop: asyncio.AbstractEventLoop, delay: float, call: Callable[[], None]
    ) -> None:
        self._loop = loop
        self._call = call
        self._due = loop.time() + delay
        self._handle = loop.call_later(delay, self._ring)

    def cancel(self) -> None:
        """Never call."""
        self._handle.cancel()

    def _ring(self) -> None:
        if self._loop.time() - self._due > _LATE:
            self._handle = self._loop.call_later(_READING, self._call)
        else:
            self._call()
