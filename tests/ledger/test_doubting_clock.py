"""Which time is believed: a jump ahead waits a day, everything else holds at once."""

from __future__ import annotations

from streamgauge.ledger.doubting_clock import DOUBT_SECONDS, DoubtingClock

SECOND = 1_000_000
YEAR = 365 * 86_400 * SECOND


class Clocks:
    """What the two clocks of a machine say."""

    def __init__(self) -> None:
        self.wall = 50 * YEAR
        self.seconds = 5.0
        self.clock = DoubtingClock(lambda: self.wall, lambda: self.seconds)

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
