"""Which deadline has passed: pure arithmetic on stamps (SPEC §2.5)."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamgauge.core.attempt import Limits
from streamgauge.core.deadlines import BEGIN_WAIT, MARKER_WAIT, Stamps
from streamgauge.core.record import Status
from streamgauge.core.verdict import FINISHED_WITHOUT_MARKER, LEDGER_UNAVAILABLE

FIRST, IDLE, TOTAL = "first token", "next token", "whole answer"


def passed(stamps: Stamps, limits: Limits, now: float) -> str | None:
    """Return which deadline has passed, in the message's words."""
    verdict = stamps.overdue(limits, now)
    if verdict is None:
        return None
    assert verdict.error is not None
    assert (verdict.status, verdict.error.status) == (Status.UPSTREAM_TIMEOUT, 504)
    return next(what for what in (FIRST, IDLE, TOTAL) if what in verdict.error.message)


@pytest.mark.parametrize(
    ("stamps", "limits", "now", "expected"),
    [
        (Stamps(0.0), Limits(1, 1, 0), 99.0, None),
        (Stamps(0.0), Limits(1, 1, 60), 60.0, None),
        (Stamps(0.0), Limits(1, 1, 60), 60.5, TOTAL),
        (Stamps(0.0, sent=2.0), Limits(10, 1, 0), 12.0, None),
        (Stamps(0.0, sent=2.0), Limits(10, 1, 0), 12.5, FIRST),
        (Stamps(0.0, sent=2.0, progress=11.0), Limits(10, 1, 0), 12.5, FIRST),
        (Stamps(0.0, sent=2.0), Limits(0, 1, 0), 1e6, None),
        (Stamps(0.0, sent=2.0, progress=5.0, content=True), Limits(1, 20, 0), 25.0, None),
        (Stamps(0.0, sent=2.0, progress=5.0, content=True), Limits(1, 20, 0), 25.5, IDLE),
        (Stamps(0.0, sent=2.0, progress=5.0, content=True), Limits(1, 0, 0), 1e6, None),
        (Stamps(0.0, sent=2.0, progress=5.0, content=True), Limits(1, 20, 10), 99.0, TOTAL),
        (Stamps(0.0, sent=2.0, paused=3.0), Limits(10, 10, 0), 99.0, None),
        (Stamps(0.0, sent=2.0, paused=3.0), Limits(10, 10, 50), 99.0, TOTAL),
    ],
)
def test_the_deadline_that_has_passed_is_named(
    stamps: Stamps, limits: Limits, now: float, expected: str | None
) -> None:
    assert passed(stamps, limits, now) == expected


@pytest.mark.parametrize(
    ("begin", "now", "expected"),
    [(2.0, 2.0 + BEGIN_WAIT, None), (2.0, 2.1 + BEGIN_WAIT, LEDGER_UNAVAILABLE), (None, 1e6, None)],
)
def test_a_row_is_waited_for_so_long(begin: float | None, now: float, expected: object) -> None:
    assert Stamps(0.0, begin=begin).overdue(Limits(1, 1, 0), now) is expected


def test_the_verdict_says_how_long_the_deadline_was() -> None:
    verdict = Stamps(0.0, sent=0.0).overdue(Limits(first_token=2.5), 3.0)
    assert verdict is not None
    assert verdict.error is not None
    assert "2.5 s" in verdict.error.message


def test_a_second_pause_does_not_move_the_first() -> None:
    stamps = Stamps(0.0, sent=1.0, progress=1.0)
    stamps.pause(2.0)
    stamps.pause(5.0)
    stamps.resume(6.0)
    assert (stamps.sent, stamps.progress, stamps.paused) == (5.0, 5.0, None)


def test_a_resume_without_a_pause_changes_nothing() -> None:
    stamps = Stamps(0.0, sent=1.0, progress=1.0)
    stamps.resume(9.0)
    assert (stamps.sent, stamps.progress) == (1.0, 1.0)


def test_a_pause_before_the_request_moves_no_stamp_that_is_not_there() -> None:
    stamps = Stamps(0.0)
    stamps.pause(1.0)
    stamps.resume(3.0)
    assert stamps.sent is None


def test_what_came_in_the_pause_is_not_moved_into_the_future() -> None:
    stamps = Stamps(0.0, sent=1.0, progress=1.0)
    stamps.pause(2.0)
    stamps.progress = 7.0
    stamps.resume(8.0)
    assert stamps.progress == 8.0


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), max_size=6), st.integers(1, 9))
@settings(max_examples=60)
def test_only_time_that_is_not_paused_counts(waits: list[tuple[int, int]], rest: int) -> None:
    stamps = Stamps(0.0, sent=0.0)
    now = 0.0
    for running, paused in waits:
        now += running
        stamps.pause(now)
        now += paused
        stamps.resume(now)
    now += rest
    spent = sum(running for running, _ in waits) + rest
    assert passed(stamps, Limits(first_token=spent), now) is None
    assert passed(stamps, Limits(first_token=spent - 0.5), now) == FIRST


def test_a_finished_stream_waits_for_its_marker_and_no_longer() -> None:
    stamps = Stamps(0.0, sent=0.0, progress=5.0, content=True, finished=5.0)
    limits = Limits(first_token=0, idle=0, total=0)
    assert stamps.overdue(limits, 5.0 + MARKER_WAIT) is None
    assert stamps.overdue(limits, 5.25 + MARKER_WAIT) is FINISHED_WITHOUT_MARKER
    stamps.pause(5.5)
    assert stamps.overdue(limits, 99.0) is None
