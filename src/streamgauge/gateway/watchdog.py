"""A thread that says where the event loop hangs, while it hangs (FAULTS F9). Knows no stream."""

from __future__ import annotations

import logging
import sys
import threading
import time
import traceback
from pathlib import PurePath

from streamgauge.gateway.pulse import STALL_SECONDS, LoopPulse

__all__ = ["Watchdog", "stack_of"]

_log = logging.getLogger(__name__)

_LOOK_SECONDS = 0.25
_QUIET_SECONDS = 60.0
"""Seconds between two stacks in the log: a loop that hangs again and again hangs at one place."""
_FRAMES = 12
_STOP_SECONDS = 1.0


class Watchdog:
    """Watches the loop of the thread that starts it. It logs, and changes nothing."""

    __slots__ = ("_ident", "_pulse", "_stopped", "_thread", "_told_at", "_untold")

    def __init__(self, pulse: LoopPulse) -> None:
        self._pulse = pulse
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="loop watchdog", daemon=True)
        self._ident = 0
        self._told_at: float | None = None
        self._untold = 0

    def start(self) -> None:
        """Begin to watch the calling thread."""
        self._ident = threading.get_ident()
        self._thread.start()

    def stop(self) -> None:
        """End the thread, if it was started."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join(_STOP_SECONDS)

    def _watch(self) -> None:
        hanging = False
        while not self._stopped.wait(_LOOK_SECONDS):
            now = time.monotonic()
            late = self._pulse.overdue(now)
            hangs = late > STALL_SECONDS
            if hangs and not hanging:
                self._tell(now, late)
            hanging = hangs

    def _tell(self, now: float, late: float) -> None:
        if self._told_at is not None and now - self._told_at < _QUIET_SECONDS:
            self._untold += 1
            return
        _log.warning(
            "loop_blocked lag_ms=%.0f untold=%d stack=%s",
            late * 1000,
            self._untold,
            stack_of(self._ident),
        )
        self._told_at, self._untold = now, 0


def stack_of(ident: int) -> str:
    """Return the innermost calls of thread `ident` as `file:line name`, the innermost first."""
    frame = sys._current_frames().get(ident)
    if frame is None:
        return "-"
    calls = reversed(traceback.extract_stack(frame)[-_FRAMES:])
    return " < ".join(f"{_short(call.filename)}:{call.lineno} {call.name}" for call in calls)


def _short(file: str) -> str:
    return "/".join(PurePath(file).parts[-2:])
