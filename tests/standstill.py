"""Whether this process stood still during a test: then its times say nothing of the program.

A machine that is shared, or stalls, does so for all of its processes. A thread that sleeps all the time sees it.
"""

from __future__ import annotations

import threading
import time

__all__ = ["LATE_SECONDS", "Watch"]

LATE_SECONDS = 0.03
"""Longer than a thread waits for another that computes, shorter than what tests of time look at."""
_LOOK_SECONDS = 0.01


class Watch:
    """Looks at how late a sleep ends; `begin` a test, then ask for the `longest` that it was late since."""

    def __init__(self) -> None:
        self._asleep_since = time.monotonic()
        self._longest = 0.0
        threading.Thread(target=self._look, name="standstill", daemon=True).start()

    def begin(self) -> None:
        """Forget what was before."""
        self._longest = 0.0

    @property
    def longest(self) -> float:
        """Seconds; one that has only just ended, or is not over, counts too."""
        return max(self._longest, time.monotonic() - self._asleep_since - _LOOK_SECONDS)

    def _look(self) -> None:
        while True:
            self._asleep_since = time.monotonic()
            time.sleep(_LOOK_SECONDS)
            self._longest = self.longest
