"""How late the event loop comes to what it should do (FAULTS F9). Knows no stream and no thread."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Final

__all__ = ["STALL_SECONDS", "LoopPulse"]

_log = logging.getLogger(__name__)

STALL_SECONDS: Final = 1.0
"""From this lateness on the loop counts as stalled: SPEC §6.5 counts a gap of 1 s as a stall too."""
_INTERVAL = 0.25
"""Seconds between beats: four wake-ups a second cost nothing, and show a stall to a quarter of one."""
_WINDOW = 10.0
"""Seconds over which the worst lateness is kept, so that those who ask now and then see it."""


class LoopPulse:
    """A timer that notes how late it fires. Times in monotonic seconds.

    `overdue` may be read from any thread; all else belongs to the loop.
    """

    __slots__ = ("_due", "_loop", "_missed", "_timer", "_worst", "_worst_at")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._timer: asyncio.TimerHandle | None = None
        self._due: float | None = None
        self._missed: float | None = None
        self._worst = 0.0
        self._worst_at = 0.0

    def start(self) -> None:
        """Beat from now on."""
        self._schedule(time.monotonic())

    def stop(self) -> None:
        """Beat no more."""
        self._due = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    @property
    def lag_ms(self) -> float:
        """The worst lateness of the last ten seconds in ms, that of this moment included."""
        now = time.monotonic()
        kept = self._worst if now - self._worst_at < _WINDOW else 0.0
        return max(kept, self.overdue(now)) * 1000

    def overdue(self, now: float) -> float:
        """Return for how many seconds the next beat should have been; 0.0 if it is not yet due."""
        due = self._due
        return 0.0 if due is None else max(0.0, now - due)

    def stalled_since(self, started: float, now: float) -> bool:
        """Return whether the loop stood still for longer than a second after `started`."""
        if self._missed is not None and started <= self._missed:
            return True
        # What waited in the sockets may be served before the beat: the stall is seen all the same.
        due = self._due
        return due is not None and started <= due and now - due > STALL_SECONDS

    def _schedule(self, now: float) -> None:
        self._due = now + _INTERVAL
        self._timer = self._loop.call_later(_INTERVAL, self._beat)

    def _beat(self) -> None:
        now = time.monotonic()
        late = self.overdue(now)
        if late >= self._worst or now - self._worst_at >= _WINDOW:
            self._worst, self._worst_at = late, now
        if late > STALL_SECONDS:
            self._missed = self._due
            _log.warning("loop_stalled lag_ms=%.0f", late * 1000)
        self._schedule(now)
