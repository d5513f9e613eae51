"""How often and when an upstream is asked the same again. Knows no upstream, no clock, no chance."""

from __future__ import annotations

__all__ = ["RetryBudget", "backoff"]

WINDOW_SECONDS = 10
"""Long enough to smooth a burst, short enough that a busy hour pays for no storm after it."""
FLOOR = 3
"""Repeats within a window that need no calls to pay for them: else a quiet gateway never repeats."""
_FIRST_SECONDS = 0.25
_LONGEST_SECONDS = 5.0
_DOUBLINGS = 5
"""After so many the bound holds anyway, and a power needs no more."""


class RetryBudget:
    """Holds: in any window, repeats are at most `percent` of its calls, or `FLOOR` if that is more.

    So from the start on, repeats ÷ calls stays at or below `percent` however calls come, as long as
    each window has calls for more than the floor (FAULTS F51). Times are monotonic seconds.
    """

    __slots__ = ("_calls", "_percent", "_spent")

    def __init__(self, percent: int = 20) -> None:
        """Allow repeats for `percent` of the calls; 0 allows none."""
        self._percent = percent
        # Counted by the second: a busy gateway must not keep every call of ten seconds.
        self._calls: dict[int, int] = {}
        self._spent: dict[int, int] = {}

    def __repr__(self) -> str:
        calls, spent = sum(self._calls.values()), sum(self._spent.values())
        return f"<RetryBudget {self._percent} % of {calls} calls, {spent} spent>"

    def note_call(self, now: float) -> None:
        """Note one request of a client."""
        _add(self._calls, int(now))

    def take(self, now: float) -> bool:
        """Return whether one more attempt may be made; if so, it is spent."""
        second = int(now)
        calls, spent = _within(self._calls, second), _within(self._spent, second)
        floor = FLOOR if self._percent else 0
        if spent >= max(calls * self._percent // 100, floor):
            return False
        _add(self._spent, second)
        return True


def _add(counts: dict[int, int], second: int) -> None:
    if second in counts:
        counts[second] += 1
        return
    for past in [s for s in counts if s <= second - WINDOW_SECONDS]:
        del counts[past]
    counts[second] = 1


def _within(counts: dict[int, int], second: int) -> int:
    return sum(count for s, count in counts.items() if s > second - WINDOW_SECONDS)


def backoff(n: int, chance: float) -> float:
    """Return the seconds before the `n`-th repeat (from 1), for a `chance` from 0 to 1.

    Anything from nothing to a bound that doubles each time ("full jitter"): clients that failed
    together do not come back together.
    """
    bound = min(_FIRST_SECONDS * 2.0 ** min(n - 1, _DOUBLINGS), _LONGEST_SECONDS)
    return bound * chance
