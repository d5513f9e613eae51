"""The meter's times: first and last content, gaps, stalls, in flat memory."""

from __future__ import annotations

import itertools
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamgauge.core.events import (
    Started,
    TextDelta,
    UsageReported,
)
from streamgauge.core.meter import Meter
from streamgauge.core.usage import TokenUsage

TEXT = TextDelta("a")


def timed(*moments: float) -> Meter:
    meter = Meter(0.0)
    for moment in moments:
        meter.observe([TEXT], moment)
    return meter


@pytest.mark.parametrize(
    ("moments", "gaps", "stalls"),
    [
        ((), None, 0),
        ((1.0,), None, 0),
        ((1.0, 1.25), (0.25, 0.25, 0.25), 0),
        ((1.0, 2.0), (1.0, 1.0, 1.0), 0),
        ((1.0, 2.5, 2.75, 5.0), (1.5, 2.25, 2.25), 2),
        ((*(n / 4 for n in range(100)), 33.0), (0.25, 0.25, 8.25), 1),
    ],
)
def test_gaps_stand_between_content_frames(
    moments: tuple[float, ...], gaps: tuple[float, float, float] | None, stalls: int
) -> None:
    meter = timed(*moments)
    assert (meter.gaps(), meter.stalls) == (gaps, stalls)


def test_what_is_no_content_makes_no_gap() -> None:
    meter = timed(1.0)
    meter.observe([Started()], 1.1)
    meter.observe([UsageReported(TokenUsage(9, 4))], 5.0)
    assert meter.gaps() is None
    assert (meter.first_content, meter.last_content) == (1.0, 1.0)


@given(st.lists(st.floats(0, 1000, allow_nan=False), min_size=1, max_size=60))
@settings(max_examples=80)
def test_gaps_are_ordered_and_the_largest_is_exact(lengths: list[float]) -> None:
    moments = [0.0]
    for length in lengths:
        moments.append(moments[-1] + length)
    gaps = timed(*moments).gaps()
    assert gaps is not None
    p50, p95, largest = gaps
    assert 0 <= p50 <= p95 <= largest
    assert largest == max(b - a for a, b in itertools.pairwise(moments))


def test_a_long_stream_keeps_its_gaps_in_bounded_memory() -> None:
    meter = Meter(0.0)
    now = 0.0
    for n in range(50_000):
        now += 0.5 if n % 10 == 0 else 0.125  # one in ten is long
        meter.observe([TEXT], now)
    gaps = meter.gaps()
    assert gaps is not None
    assert (gaps[0], gaps[2]) == (0.125, 0.5)
    assert gaps[1] == 0.5
    assert meter.content_frames == 50_000
    assert sys.getsizeof(meter._gaps) < 64 * 1024


def test_a_percentile_is_one_of_the_gaps() -> None:
    moments = [0.0]
    for n in range(100):
        moments.append(moments[-1] + 1 + n)
    assert timed(*moments).gaps() == (51.0, 96.0, 100.0)
    assert timed(0.0, 1.0, 3.0).gaps() == (2.0, 2.0, 2.0)
