"""Which time is believed: a jump ahead waits a day, everything else holds at once."""

from __future__ import annotations

import pytest

from streamgauge.ledger.doubting_clock import DOUBT_SECONDS, DoubtingClock

SECOND = 1_000_000
YEAR = 365 * 86_400 * SECOND


class Clocks:
    """What the two clocks of a machine say."""

    def __init__(self, since_last: int | None = None) -> None:
        self.wall = 50 * YEAR
        self.seconds = 5.0
        last = None if since_last is None else self.wall - since_last
        self.clock = DoubtingClock(lambda: self.wall, lambda: self.seconds, last)

    def go(self, seconds: float) -> int:
        self.seconds += seconds
        self.wall += int(seconds * SECOND)
        return self.clock.now_us()


def test_a_clock_that_goes_is_believed() -> None:
    clocks = Clocks()
    for seconds in (0.0, 3600.0, 90 * 86_400.0):
        assert clocks.go(seconds) == clocks.wall
    assert repr(clocks.clock) == "<DoubtingClock as set>"


def test_a_jump_ahead_is_believed_after_a_day() -> None:
    clocks = Clocks()
    clocks.wall += YEAR
    assert clocks.go(0.0) == clocks.wall - YEAR
    assert repr(clocks.clock) == "<DoubtingClock doubting>"
    assert clocks.go(DOUBT_SECONDS - 1) == clocks.wall - YEAR
    assert clocks.go(1.0) == clocks.wall
    clocks.wall += YEAR
    assert clocks.go(1.0) == clocks.wall - YEAR


def test_a_clock_that_is_set_right_again_leaves_no_doubt() -> None:
    clocks = Clocks()
    clocks.wall += YEAR
    clocks.go(3600.0)
    clocks.wall -= YEAR
    assert clocks.go(3600.0) == clocks.wall
    clocks.wall += YEAR
    assert clocks.go(DOUBT_SECONDS - 1) == clocks.wall - YEAR


def test_a_jump_back_is_believed_and_the_way_from_there() -> None:
    clocks = Clocks()
    clocks.wall -= YEAR
    assert clocks.go(0.0) == clocks.wall
    assert clocks.go(3600.0) == clocks.wall


def test_a_clock_that_is_slewed_has_not_jumped() -> None:
    clocks = Clocks()
    for _ in range(100):
        clocks.wall += 300 * SECOND
        assert clocks.go(60.0) == clocks.wall


def test_a_start_long_after_the_last_row_is_believed_after_a_day() -> None:
    clocks = Clocks(since_last=YEAR)
    assert clocks.go(60.0) == clocks.wall - YEAR
    assert repr(clocks.clock) == "<DoubtingClock doubting>"
    assert clocks.go(DOUBT_SECONDS - 61) == clocks.wall - YEAR
    assert clocks.go(1.0) == clocks.wall


def test_a_wrong_clock_that_is_set_right_after_the_start_is_believed() -> None:
    clocks = Clocks(since_last=YEAR)
    clocks.wall -= YEAR - 30 * SECOND
    assert clocks.go(60.0) == clocks.wall


@pytest.mark.parametrize("since_last", [-YEAR, 0, 31 * 86_400 * SECOND])
def test_a_start_soon_after_the_last_row_is_believed_at_once(since_last: int) -> None:
    clocks = Clocks(since_last)
    assert clocks.go(60.0) == clocks.wall
