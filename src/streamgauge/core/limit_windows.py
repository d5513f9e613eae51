"""Sums over time: of the last minute, of the day and the month. Knows no key and no limit."""

from __future__ import annotations

from collections import deque
from datetime import date
from enum import Enum
from math import inf

from streamgauge.core.price import Money

__all__ = ["SLOTS", "MinuteWindow", "Span", "Spending", "seconds_left"]

_DAY_US = 86_400_000_000
SLOTS = 61
"""Slots of a second: sixty whole ones, and the one in which the minute begins."""
_EPOCH = date(1970, 1, 1).toordinal()
_WINDOWS_KEPT = 32
"""A wall clock that jumps over midnight and back finds its old sum again (FAULTS F48), also one that
was ahead for weeks: of days to come a few stand beside today, which is the oldest of them."""


class MinuteWindow:
    """What was added in the last 60 seconds, up to a second more and never less.

    A sliding window in slots of a second: unlike a token bucket it lets no burst through beside a
    minute's worth, so that in no 60 seconds more passes than the limit. Times: monotonic seconds.
    `last`: the slot of the newest amount, from which on the sum is 0 after `SLOTS` seconds. `sum`:
    of the last minute, while it is not yet `changes_at`; `total` looks at the time itself.
    """

    __slots__ = ("_newest", "_slots", "_until", "changes_at", "last", "sum")

    def __init__(self) -> None:
        self.last = 0
        self.changes_at = inf
        self._slots: deque[list[int]] = deque()
        self._newest = [0, 0]
        self._until = -inf  # the end of the newest slot, while it is among them
        self.sum = 0

    def add(self, amount: int, now: float) -> None:
        """Count `amount` at `now`, which never lies before an earlier one."""
        if now >= self._until:
            self._begin(int(now))
        newest = self._newest
        newest[1] += amount
        if amount:
            self.sum += amount
            self.last = newest[0]

    def _begin(self, second: int) -> None:
        """Begin a slot; within it, none that is older falls out of the minute."""
        self.total(second)
        if not self._slots:
            self.changes_at = second + SLOTS
        self._newest = [second, 0]
        self._slots.append(self._newest)
        self._until = second + 1

    def total(self, now: float) -> int:
        """Return the sum of the last minute."""
        if self.changes_at <= now:
            slots = self._slots
            while slots and slots[0][0] + SLOTS <= now:
                self.sum -= slots.popleft()[1]
            if slots:
                self.changes_at = slots[0][0] + SLOTS
            else:
                self.changes_at, self._until = inf, -inf
        return self.sum

    def wait(self, most: int, now: float) -> float | None:
        """Return in how many seconds the sum is at most `most`, when nothing is added; None: never."""
        left = self.total(now)
        if left <= most:
            return 0.0
        for second, amount in self._slots:
            left -= amount
            if left <= most:
                return second + SLOTS - now
        return None


class Span(Enum):
    """How long a sum of money runs, in UTC."""

    DAY = "day"
    MONTH = "month"


class Spending:
    """What one key has spent, by window and currency, in nano-units. `at`: µs since the epoch."""

    __slots__ = ("_day", "_days", "_month", "_months")

    def __init__(self) -> None:
        self._days: dict[str, dict[int, int]] = {}
        self._months: dict[str, dict[int, int]] = {}
        self._day, self._month = 0, 1970 * 12

    def add(self, money: Money, at: int) -> None:
        """Add what was spent at `at`."""
        day = at // _DAY_US
        month = self._month if day == self._day else self._month_of(at)
        days, months = self._days.get(money.currency), self._months.get(money.currency)
        if days is None or months is None:
            days = self._days[money.currency] = {}
            months = self._months[money.currency] = {}
        days[day] = days.get(day, 0) + money.nano
        months[month] = months.get(month, 0) + money.nano
        if len(days) > _WINDOWS_KEPT:
            del days[min(days)]
        if len(months) > _WINDOWS_KEPT:
            del months[min(months)]

    def spent(self, span: Span, currency: str, at: int) -> int:
        """Return the sum of the window that `at` lies in."""
        day = span is Span.DAY
        windows = (self._days if day else self._months).get(currency)
        if windows is None:
            return 0
        return windows.get(at // _DAY_US if day else self._month_of(at), 0)

    def _month_of(self, at: int) -> int:
        """Return the month of `at`, numbered; of one day it is worked out once."""
        day = at // _DAY_US
        if day != self._day:
            today = date.fromordinal(_EPOCH + day)
            self._day, self._month = day, today.year * 12 + today.month - 1
        return self._month


def seconds_left(span: Span, at: int) -> float:
    """Return how long the window of `at` (µs since the epoch) still runs."""
    day = at // _DAY_US
    following = day + 1
    if span is Span.MONTH:
        today = date.fromordinal(_EPOCH + day)
        first = date(today.year + today.month // 12, today.month % 12 + 1, 1)
        following = first.toordinal() - _EPOCH
    return (following * _DAY_US - at) / 1_000_000
