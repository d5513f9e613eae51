"""The time by which rows are old. A clock that jumps ahead would have them deleted for good (FAULTS F48)."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["DOUBT_SECONDS", "DoubtingClock"]

DOUBT_SECONDS = 86_400.0
"""How long a jump ahead is not believed: time for somebody to see it in the log, and set the clock right."""
_REST_US = 31 * 86_400_000_000
"""So long may nothing have happened before a start: who calls once a week has old rows deleted, too."""
_DRIFT_US = 600_000_000
"""Less than this is no jump: a clock that is slewed, or a machine that slept for a moment."""


class DoubtingClock:
    """The wall clock, in µs since the epoch; after a jump ahead it goes on as before it for a day.

    `monotonic`: seconds, of a clock that nobody sets. `last_us`: when something last happened before the
    start, None if never: more than a month without is a jump too, as a wrong clock looks like a long rest.
    A jump back is believed at once: it deletes nothing.
    """

    __slots__ = ("_jumped_at", "_monotonic", "_now_us", "_seen_at", "_seen_us")

    def __init__(
        self, now_us: Callable[[], int], monotonic: Callable[[], float], last_us: int | None = None
    ) -> None:
        self._now_us = now_us
        self._monotonic = monotonic
        self._seen_us, self._seen_at = now_us(), monotonic()
        self._jumped_at: float | None = None
        if last_us is not None and self._seen_us - last_us > _REST_US:
            self._seen_us, self._jumped_at = last_us, self._seen_at

    def __repr__(self) -> str:
        return f"<DoubtingClock {'as set' if self._jumped_at is None else 'doubting'}>"

    def now_us(self) -> int:
        """Return the time that is believed."""
        told, at = self._now_us(), self._monotonic()
        expected = self._seen_us + int((at - self._seen_at) * 1_000_000)
        if told - expected > _DRIFT_US:
            if self._jumped_at is None:
                self._jumped_at = at
            if at - self._jumped_at < DOUBT_SECONDS:
                return expected
        self._seen_us, self._seen_at, self._jumped_at = told, at, None
        return told
