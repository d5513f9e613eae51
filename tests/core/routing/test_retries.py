"""Repeats stay within their share of the calls, however calls come, and never come back together."""

from __future__ import annotations

import os

import hypothesis.strategies as st
import pytest
from hypothesis import example, given, settings

from streamgauge.core.routing.retries import FLOOR, WINDOW_SECONDS, RetryBudget, backoff

FULL = os.environ.get("STREAMGAUGE_FULL") == "1"
EXAMPLES = settings(max_examples=2000 if FULL else 200)

# Seconds since the step before, calls that then begin, repeats that are then asked for.
STEP = st.tuples(
    st.sampled_from([0.0, 0.01, 0.9, 1.0, 3.0, 9.9, 10.0, 11.0, 500.0]),
    st.integers(0, 60),
    st.integers(0, 60),
)
STEPS = st.lists(STEP, min_size=1, max_size=40)


def taken(budget: RetryBudget, wanted: int, now: float) -> int:
    """How many of `wanted` repeats are allowed."""
    return sum(budget.take(now) for _ in range(wanted))


@pytest.mark.parametrize(
    ("percent", "calls", "allowed"),
    [
        (20, 0, FLOOR),
        (20, 15, FLOOR),
        (20, 20, 4),
        (20, 24, 4),
        (20, 25, 5),
        (20, 1000, 200),
        (1, 100, FLOOR),
        (1, 1000, 10),
        (100, 50, 50),
        (0, 1000, 0),
        (0, 0, 0),
    ],
)
def test_a_share_of_the_calls_may_be_repeated(percent: int, calls: int, allowed: int) -> None:
    budget = RetryBudget(percent)
    for _ in range(calls):
        budget.note_call(50.0)
    assert taken(budget, 2000, 50.0) == allowed


def test_calls_and_repeats_are_forgotten_together_when_the_window_has_passed() -> None:
    budget = RetryBudget(20)
    for _ in range(100):
        budget.note_call(50.5)
    assert taken(budget, 99, 50.5) == 20
    assert taken(budget, 99, 59.9) == 0, "still the same ten seconds"
    assert taken(budget, 99, 60.0) == FLOOR, "these calls pay for nothing any more"


def test_calls_that_came_evenly_pay_evenly() -> None:
    budget, allowed = RetryBudget(20), 0
    for tenth in range(3000):
        now = tenth / 10
        budget.note_call(now)
        allowed += budget.take(now)
    assert allowed == 600


@given(STEPS, st.integers(1, 100))
@example([(0.0, 50, 50)] * 3, 20)
@example([(9.9, 50, 0), (0.01, 0, 60), (0.9, 0, 60), (10.0, 50, 60)], 20)
@EXAMPLES
def test_repeats_never_pass_their_share_but_for_the_floor(
    steps: list[tuple[float, int, int]], percent: int
) -> None:
    budget, now, calls, repeats = RetryBudget(percent), 1000.0, 0, 0
    history: list[tuple[int, int]] = []
    for wait, begun, wanted in steps:
        now += wait
        for _ in range(begun):
            budget.note_call(now)
        calls += begun
        allowed = taken(budget, wanted, now)
        repeats += allowed
        history += [(int(now), 1)] * allowed
        recent = sum(n for second, n in history if second > int(now) - WINDOW_SECONDS)
        spans = (now - 1000.0) // WINDOW_SECONDS + 1
        assert repeats <= calls * percent / 100 + FLOOR * spans
        if allowed:
            assert recent <= max(FLOOR, calls * percent / 100)


@given(STEPS)
@EXAMPLES
def test_with_calls_enough_attempts_stay_at_or_below_1_2_a_call(
    steps: list[tuple[float, int, int]],
) -> None:
    budget, now, calls, repeats = RetryBudget(20), 1000.0, 0, 0
    for wait, begun, wanted in steps:
        now += wait
        for _ in range(begun + 5 * FLOOR):  # a busy gateway: each repeat has its calls
            budget.note_call(now)
        calls += begun + 5 * FLOOR
        repeats += taken(budget, wanted, now)
        assert (calls + repeats) * 10 <= calls * 12


def test_a_budget_keeps_no_more_than_its_window() -> None:
    budget = RetryBudget(20)
    for second in range(10_000):
        budget.note_call(float(second))
        budget.take(float(second))
    assert repr(budget) == f"<RetryBudget 20 % of {WINDOW_SECONDS} calls, 3 spent>"


@pytest.mark.parametrize(
    ("n", "bound"),
    [(1, 0.25), (2, 0.5), (3, 1.0), (4, 2.0), (5, 4.0), (6, 5.0), (7, 5.0), (10**6, 5.0)],
)
def test_each_wait_may_be_twice_as_long_up_to_five_seconds(n: int, bound: float) -> None:
    assert (backoff(n, 1.0), backoff(n, 0.5), backoff(n, 0.0)) == (bound, bound / 2, 0.0)


@given(st.integers(1, 1000), st.floats(0, 1))
def test_a_wait_is_never_negative_and_never_long(n: int, chance: float) -> None:
    assert 0 <= backoff(n, chance) <= 5.0
