"""The timeline of an exchange: all moments, in the order in which they came; what did not is None."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pytest

from streamgauge.core.record import Status
from streamgauge.ledger.explaining import explained
from streamgauge.ledger.moments import moments_of

from ..cli.books import an_attempt, an_exchange

NAMES = ["accepted", "routed", "row_begun", "connected", "headers", "first_byte", "first_content",
         "last_content", "usage", "end_marker", "ended"]  # fmt: skip
TIMES = {"connected_ms": 2.5, "last_token_ms": 1350.0, "usage_ms": 1390.5}
RECORD = an_exchange("x", overhead_us=2000.0)
FIRST = asdict(an_attempt(RECORD, **TIMES))


def timeline(*attempts: dict[str, Any], **values: Any) -> list[tuple[str, float | None]]:
    """Return the moments of an exchange with these values."""
    row = {**asdict(RECORD), **values}
    return [(each.name, each.ms) for each in moments_of(row, attempts)]


def test_a_whole_stream_has_every_moment() -> None:
    times = [0.0, 1.0, 2.0, 2.5, 9.0, 30.0, 41.5, 1350.0, 1390.5, 1400.0, 1500.0]
    assert timeline(FIRST) == list(zip(NAMES, times, strict=True))


def test_a_connection_that_was_there_before_the_row_stands_before_it() -> None:
    told = timeline({**FIRST, "connected_ms": 1.5})
    assert [name for name, _ in told][:4] == ["accepted", "routed", "connected", "row_begun"]


def test_usage_behind_the_end_marker_stands_behind_it() -> None:
    told = timeline({**FIRST, "usage_ms": 1410.0})
    assert [name for name, _ in told][-3:] == ["end_marker", "usage", "ended"]


def test_the_close_is_the_last_even_where_an_older_row_cut_its_time_short() -> None:
    told = timeline(FIRST, finished_at=RECORD.started_at + 1_399_999)
    assert [name for name, _ in told] == NAMES


def test_of_several_attempts_the_last_ones_times_are_told() -> None:
    start = RECORD.started_at
    failed = {**FIRST, "started_at": start + 500, "usage_ms": 7.0}
    served = {**FIRST, "n": 2, "started_at": start + 8_000, "connected_ms": 8.5}
    told = dict(timeline(failed, served))
    assert (told["routed"], told["connected"], told["usage"]) == (0.5, 8.5, 1390.5)


def test_where_the_last_attempt_did_not_connect_no_other_one_speaks_for_it() -> None:
    told = timeline(FIRST, {**FIRST, "n": 2, "connected_ms": None, "usage_ms": None})
    assert ("connected", None) in told
    assert ("usage", None) in told


def test_what_is_not_known_keeps_its_place() -> None:
    known = {"accepted": 0.0, "ended": 1500.0}
    names = ("overhead_us", "latency_ms", "first_byte_ms", "ttft_ms", "stream_duration_ms")
    assert timeline(**dict.fromkeys(names)) == [(name, known.get(name)) for name in NAMES]


@pytest.mark.parametrize(
    ("source", "generating", "last"),
    [("measured", 1300.25, 1341.75), ("timings", 1300.25, None), ("measured", None, None)],
)
def test_before_schema_5_the_last_token_follows_from_what_was_measured_here(
    source: str, generating: float | None, last: float | None
) -> None:
    older = {**FIRST, "last_token_ms": None}
    told = dict(timeline(older, tps_source=source, generation_ms=generating))
    assert told["last_content"] == last


def test_the_last_token_that_was_seen_is_the_last() -> None:
    told = dict(timeline(FIRST, tps_source="measured", generation_ms=1.0))
    assert told["last_content"] == 1350.0


def test_an_answer_that_was_cut_has_no_end_marker() -> None:
    told = dict(timeline(FIRST, status=Status.STREAM_INCOMPLETE, success=False))
    assert told["end_marker"] is None


def test_the_explained_exchange_has_them() -> None:
    page = explained({**asdict(RECORD), "price": None}, [FIRST])
    assert [each["moment"] for each in page["timeline"]] == NAMES
    assert page["timeline"][3] == {"moment": "connected", "ms": 2.5}


def test_what_each_attempt_is_billed_for_is_told() -> None:
    ends = (
        ("upstream_error", False),
        ("stream_incomplete", True),
        ("completed", True),
        (None, None),
    )
    tries = [{**FIRST, "outcome": how, "may_have_been_billed": billed} for how, billed in ends]
    page = explained({**asdict(RECORD), "price": None}, tries)
    assert page["billed"] == ["no", "perhaps", "yes", None]
