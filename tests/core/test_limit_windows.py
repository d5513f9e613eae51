"""Sums of the last minute against a list of all times; days and months at their edges."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamgauge.core.limit_windows import SLOTS, MinuteWindow, Span, Spending, seconds_left
from streamgauge.core.price import Money

DAY_US = 86_400_000_000
STEPS = st.lists(st.tuples(st.floats(0, 50), st.integers(0, 9)), max_size=60)


def at(*when: int) -> int:
    """Return a moment (UTC) in µs since the epoch."""
    return int(datetime(*when, tzinfo=UTC).timestamp()) * 1_000_000  # type: ignore[arg-type]


@given(STEPS)
@settings(deadline=None)
def test_the_sum_is_never_below_that_of_the_last_minute_nor_above_that_of_a_second_more(
    steps: list[tuple[float, int]],
) -> None:
    window, now, added = MinuteWindow(), 0.0, list[tuple[float, int]]()
    for wait, amount in steps:
        now += wait
        window.add(amount, now)
        added.append((now, amount))
        least = sum(n for when, n in added if when > now - 60)
        most = sum(n for when, n in added if when > now - 61)
        assert least <= window.total(now) <= most


@given(STEPS, st.integers(0, 30))
@settings(deadline=None)
def test_after_the_wait_the_sum_is_what_was_waited_for_and_not_sooner(
    steps: list[tuple[float, int]], most: int
) -> None:
    window, now = MinuteWindow(), 0.0
    for step, amount in steps:
        now += step
        window.add(amount, now)
    wait = window.wait(most, now)
    assert wait is not None
    assert window.wait(-1, now) is None
    if wait:
        assert window.total(now + wait - 0.01) > most
    assert window.total(now + wait + 0.001) <= most


def empty_in(window: MinuteWindow, now: float) -> float:
    """Return in how many seconds the sum is 0, by the newest slot alone."""
    return window.last + SLOTS - now if window.total(now) else 0.0


@given(STEPS, st.floats(0, 200))
@settings(deadline=None)
def test_that_nothing_is_left_is_told_as_the_wait_for_nothing_is(
    steps: list[tuple[float, int]], later: float
) -> None:
    window, now = MinuteWindow(), 0.0
    for step, amount in steps:
        now += step
        window.add(amount, now)
        assert empty_in(window, now) == window.wait(0, now)
    assert empty_in(window, now + later) == window.wait(0, now + later)


def test_a_time_a_little_earlier_than_the_last_one_is_counted_with_it() -> None:
    window = MinuteWindow()
    window.add(1, 10.5)
    window.add(1, 9.9)  # the last byte of a request that others overtook
    assert empty_in(window, 11.0) == window.wait(0, 11.0) == 60.0
    assert window.total(70.9) == 2
    assert window.total(71.0) == 0


def test_nothing_added_leaves_what_there_was_for_as_long() -> None:
    window = MinuteWindow()
    window.add(3, 10.0)
    window.add(0, 20.0)
    assert (window.total(20.0), empty_in(window, 20.0)) == (3, 51.0)


def test_days_and_months_are_those_of_utc_and_currencies_stay_apart() -> None:
    spending = Spending()
    spending.add(Money(5, "USD"), at(2026, 1, 31, 23, 59, 59))
    spending.add(Money(7, "USD"), at(2026, 2, 1))
    spending.add(Money(9, "EUR"), at(2026, 2, 1))
    january, february = at(2026, 1, 31, 1), at(2026, 2, 1, 12)
    assert spending.spent(Span.DAY, "USD", january) == 5
    assert spending.spent(Span.DAY, "USD", february) == 7
    assert spending.spent(Span.MONTH, "USD", january) == 5
    assert spending.spent(Span.MONTH, "USD", at(2026, 2, 28)) == 7
    assert spending.spent(Span.DAY, "EUR", february) == 9
    assert spending.spent(Span.DAY, "sat", february) == 0


def test_a_clock_that_jumps_over_midnight_and_back_finds_its_sum_again() -> None:
    spending = Spending()
    spending.add(Money(5, "USD"), at(2026, 5, 1, 23, 30))
    spending.add(Money(1, "USD"), at(2026, 5, 2, 0, 30))
    spending.add(Money(2, "USD"), at(2026, 5, 1, 23, 31))
    assert spending.spent(Span.DAY, "USD", at(2026, 5, 1, 23, 32)) == 7


def test_days_and_months_that_a_clock_has_dreamt_of_do_not_put_today_out() -> None:
    spending, now = Spending(), at(2026, 5, 1)
    for day in (100, 101, 102, 140):
        spending.add(Money(1, "USD"), now + day * DAY_US)
    for _ in range(3):
        spending.add(Money(7, "USD"), now)
    assert spending.spent(Span.DAY, "USD", now) == 21
    assert spending.spent(Span.MONTH, "USD", now) == 21


def test_only_the_last_windows_are_kept() -> None:
    spending = Spending()
    for day in range(40):
        spending.add(Money(1, "USD"), at(2026, 5, 1) + day * DAY_US)
    assert spending.spent(Span.DAY, "USD", at(2026, 5, 8)) == 0
    assert spending.spent(Span.DAY, "USD", at(2026, 5, 9)) == 1
    assert spending.spent(Span.MONTH, "USD", at(2026, 5, 4)) == 31
    for month in range(31):
        spending.add(Money(2, "USD"), at(2027 + month // 12, month % 12 + 1, 1))
    assert spending.spent(Span.MONTH, "USD", at(2026, 5, 4)) == 0
    assert spending.spent(Span.MONTH, "USD", at(2026, 6, 4)) == 9


@pytest.mark.parametrize(
    ("span", "now", "seconds"),
    [
        (Span.DAY, at(2026, 5, 1), 86_400),
        (Span.DAY, at(2026, 5, 1, 23, 59, 30), 30),
        (Span.MONTH, at(2026, 12, 31, 23, 0, 0), 3600),
        (Span.MONTH, at(2028, 2, 28), 2 * 86_400),
    ],
)
def test_what_is_left_of_a_window(span: Span, now: int, seconds: float) -> None:
    assert seconds_left(span, now) == seconds
