"""Sums over time: of the last minute, of the day and the month. Knows no key and no limit."""

from __future__ import annotations

from collections import deque
from datetime import date
from enum import Enum

from streamgauge.core.price import Money

__all__ = ["MinuteWindow", "Span", "Spending", "seconds_left"]

_DAY_US = 86_400_000_000
_SLOTS = 61
"""Slots of a second: sixty whole ones, and the one in which the minute begins."""
_EPOCH = date(1970, 1, 1).toordinal()
_WINDOWS_KEPT = 2
"""A wall clock that jumps over midnight and back finds its old sum again (FAULTS F48)."""


class MinuteWindow:
    """What was added in the last 60 seconds, up to a second more and never less.

    A sliding window in slots of a second: unlike a token bucket it lets no burst through beside a
    minute's worth, so that in no 60 seconds more passes than the limit. Times: monotonic seconds.
    """

    __slots__ = ("_slots", "_total")

    def __init__(self) -> None:
        self._slots: deque[tuple[int, int]] = deque()
        self._total = 0

    def add(self, amount: int, now: float) -> None:
        """Count `amount` at `now`, which never lies before an earlier one."""
        self._forget(now)
        second = int(now)
        self._total += amount
        if self._slots and self._slots[-1][0] >= second:
            second, before = self._slots.pop()
            amount += before
        self._slots.append((second, amount))

    def total(self, now: float) -> int:
        """Return the sum of the last minute."""
        self._forget(now)
        return self._total

    def wait(self, most: int, now: float) -> float | None:
        """Return in how many seconds the sum is at most `most`, when nothing is added; None: never."""
        left = self.total(now)
        if left <= most:
            return 0.0
        for second, amount in self._slots:
            left -= amount
            if left <= most:
                return second + _SLOTS - now
        return None

    def _forget(self, now: float) -> None:
        slots = self._slots
        if slots and slots[0][0] <= now - _SLOTS:
            while slots and slots[0][0] <= now - _SLOTS:
                self._total -= slots.popleft()[1]


class Span(Enum):
    """How long a sum of money runs, in UTC."""

    DAY = "day"
    MONTH = "month"


class Spending:
    """What one key has spent, by window and currency, in nano-units. `at`: µs since the epoch."""

    __slots__ = ("_sums",)

    def __init__(self) -> None:
        self._sums: dict[tuple[Span, str], dict[int, int]] = {}

    def add(self, money: Money, at: int) -> None:
        """Add what was spent at `at`."""
        for span in Span:
            windows = self._sums.setdefault((span, money.currency), {})
            number = _number(span, at)
            windows[number] = windows.get(number, 0) + money.nano
            if len(windows) > _WINDOWS_KEPT:
                del windows[min(windows)]

    def spent(self, span: Span, currency: str, at: int) -> int:
        """Return the sum of the window that `at` lies in."""
        windows = self._sums.get((span, currency))
        return 0 if windows is None else windows.get(_number(span, at), 0)


def seconds_left(span: Span, at: int) -> float:
    """Return how long the window of `at` (µs since the epoch) still runs."""
    day = at // _DAY_US
    following = day + 1
    if span is Span.MONTH:
        today = date.fromordinal(_EPOCH + day)
        first = date(today.year + today.month // 12, today.month % 12 + 1, 1)
        following = first.toordinal() - _EPOCH
    return (following * _DAY_US - at) / 1_000_000


def _number(span: Span, at: int) -> int:
    day = at // _DAY_US
    if span is Span.DAY:
        return day
    today = date.fromordinal(_EPOCH + day)
    return today.year * 12 + today.month - 1
