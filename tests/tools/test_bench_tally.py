"""What the bench counts of a stream: every event once, in order, however the wire is cut."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamgauge.tools.bench.tally import Seen, StreamTally, quantile
from streamgauge.tools.bench.wire import event_frame

SENT, NOW = 1_000, 5_000


def frame(number: int, sent_ns: int = 4_000) -> bytes:
    """Return an event without its chunk."""
    return event_frame(number, sent_ns).partition(b"\r\n")[2].removesuffix(b"\r\n")


def tallied(numbers: list[int], expected: int) -> Seen:
    seen = Seen()
    tally = StreamTally(seen, expected, SENT)
    for number in numbers:
        tally.feed(frame(number), NOW)
    tally.ended()
    return seen


def test_events_in_order_are_counted_with_their_delay_and_the_first_with_its_wait() -> None:
    seen = tallied([0, 1, 2], 3)
    assert (seen.lost, seen.reordered, seen.reads) == (0, 0, 3)
    assert list(seen.delays_ns) == [1_000] * 3
    assert list(seen.answers_ns) == [NOW - SENT]


@pytest.mark.parametrize(
    ("numbers", "lost", "reordered"),
    [
        ([0, 2], 1, 0),
        ([1, 2], 1, 0),
        ([0, 1], 1, 0),
        ([], 3, 0),
        ([0, 1, 1, 2], 0, 1),
        ([0, 2, 1], 1, 1),
    ],
    ids=["gap", "first-missing", "cut", "nothing", "twice", "swapped"],
)
def test_what_is_missing_or_out_of_order_is_counted(
    numbers: list[int], lost: int, reordered: int
) -> None:
    seen = tallied(numbers, 3)
    assert (seen.lost, seen.reordered) == (lost, reordered)


def test_several_events_of_one_read_are_one_read_and_a_comment_is_none() -> None:
    seen = Seen()
    tally = StreamTally(seen, 2, SENT)
    tally.feed(b": ping\n\n", NOW)
    tally.feed(frame(0) + frame(1) + b"data: [DONE]\n\n", NOW)
    assert (seen.reads, len(seen.delays_ns)) == (1, 2)


@given(st.lists(st.integers(1, 2_000), max_size=6), st.sampled_from([b"\n", b"\r\n"]))
def test_cutting_the_wire_anywhere_changes_no_count(places: list[int], line_end: bytes) -> None:
    wire = b"".join(frame(number) for number in range(8)).replace(b"\n", line_end)
    cuts = sorted({0, *(place for place in places if place < len(wire)), len(wire)})
    seen = Seen()
    tally = StreamTally(seen, 8, SENT)
    for first, last in pairwise(cuts):
        tally.feed(wire[first:last], NOW)
    tally.ended()
    assert (seen.lost, seen.reordered, len(seen.delays_ns)) == (0, 0, 8)


def test_an_event_has_one_length_whatever_its_number_and_time() -> None:
    assert len({len(event_frame(number, ns)) for number in (0, 99_999) for ns in (1, 10**18)}) == 1


def test_a_quantile_of_nothing_is_unknown() -> None:
    assert quantile([], 0.5) is None
    assert quantile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert quantile([1.0, 2.0], 0.99) == 2.0
