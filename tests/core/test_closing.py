"""How the row is filled from the meter: speeds, context, times, cost (SPEC §6.5–§6.7, §7)."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from streamgauge.core.attempt import Attempt
from streamgauge.core.closing import book, check_consistency, close_attempt, metadata_of
from streamgauge.core.events import (
    Ended,
    Event,
    Finished,
    ModelNamed,
    TextDelta,
    TimingsReported,
    UsageReported,
)
from streamgauge.core.meter import Meter
from streamgauge.core.price import Price, Rates, Tier
from streamgauge.core.record import AttemptRecord, ExchangeRecord, Status
from streamgauge.core.usage import Timings, TokenUsage

from .playbook import PRICE

USD = 10**9
TIMINGS = Timings(
    prompt_n=3,
    prompt_ms=12.5,
    prompt_per_second=240.0,
    predicted_n=7,
    predicted_ms=70.0,
    predicted_per_second=100.0,
    cache_n=2,
)


def used(*counts: int | None, cost: str | None = None) -> Event:
    return UsageReported(TokenUsage(*counts), cost=cost)


def metered(events: list[tuple[float, Event]], *, streaming: bool = True) -> Meter:
    meter = Meter(10.0, streaming=streaming)
    for at, event in events:
        meter.observe([event], 10.0 + at)
    return meter


def booked(
    meter: Meter, *, ended: float = 9.0, endpoint: str | None = None, **attempt: Any
) -> ExchangeRecord:
    record = ExchangeRecord("id", "owner", 0, status=Status.COMPLETED, endpoint=endpoint)
    book(record, Attempt("up", "openai", "m", **attempt), meter, 10.0 + ended)
    return record


def pieces(*moments: float) -> list[tuple[float, Event]]:
    return [(at, TextDelta("a")) for at in moments]


# --- speeds --------------------------------------------------------------------------------------


def test_llamacpps_own_speeds_are_taken_as_they_are() -> None:
    row = booked(metered([*pieces(1, 2), (2, TimingsReported(TIMINGS)), (2, used(5, 7))]))
    assert (row.prompt_tps, row.prompt_ms) == (240.0, 12.5)
    assert (row.generation_tps, row.generation_ms, row.tps_source) == (100.0, 70.0, "timings")


@pytest.mark.parametrize(
    ("events", "tps", "milliseconds"),
    [
        ([*pieces(1, 2, 3), (3, used(5, 9))], 4.0, 2000.0),
        ([*pieces(1, 2, 3)], 1.0, 2000.0),
        ([*pieces(1, 1.5), (9, used(None, 4))], 6.0, 500.0),
        ([*pieces(1, 2), (2, used(5, 1))], 0.0, 1000.0),
        ([*pieces(1), (3, used(5, 9))], None, None),
        ([*pieces(1, 1), (3, used(5, 9))], None, None),
        ([*pieces(1, 2), (3, used(5, 0))], None, None),
        ([(3, used(5, 9))], None, None),
        ([], None, None),
    ],
)
def test_without_timings_the_speed_is_measured_where_it_can_be(
    events: list[tuple[float, Event]], tps: float | None, milliseconds: float | None
) -> None:
    row = booked(metered(events))
    assert (row.generation_tps, row.generation_ms) == (tps, milliseconds)
    assert row.tps_source == ("none" if tps is None else "measured")
    assert (row.prompt_tps, row.prompt_ms) == (None, None), "nothing is split by guess"


def test_timings_without_a_speed_leave_it_unknown() -> None:
    row = booked(metered([*pieces(1, 2), (2, TimingsReported(Timings(predicted_n=4)))]))
    assert (row.generation_tps, row.tps_source) == (None, "none")


# --- context -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("events", "total", "expected"),
    [
        ([TimingsReported(TIMINGS)], 48, (12, 48, 25.0)),
        ([TimingsReported(TIMINGS), used(50, 50)], 36, (12, 36, 33.3)),
        ([used(5, 7)], 36, (12, 36, 33.3)),
        ([used(5, 7)], None, (12, None, None)),
        ([used(5, 7)], 0, (12, 0, None)),
        ([used(None, 7)], 36, (None, 36, None)),
        ([used(5)], 36, (5, 36, 13.9)),
        ([TimingsReported(Timings(prompt_n=3, predicted_n=7)), used(5, 7)], 36, (12, 36, 33.3)),
        ([], 36, (None, 36, None)),
    ],
)
def test_context_is_what_was_read_and_written(
    events: list[Event], total: int | None, expected: tuple[Any, ...]
) -> None:
    row = booked(metered([(1, e) for e in events]), context_total=lambda: total)
    assert (row.context_used, row.context_total, row.context_percent) == expected


# --- times and the rest --------------------------------------------------------------------------


def test_times_run_from_the_clients_request() -> None:
    row = booked(metered(pieces(0.5, 0.75, 2.0)), ended=2.25)
    assert (row.ttft_ms, row.stream_duration_ms, row.stalls) == (500.0, 2250.0, 1)
    assert (row.gap_p50_ms, row.gap_p95_ms, row.gap_max_ms) == (1250.0, 1250.0, 1250.0)


def test_a_whole_answer_has_no_times_of_a_stream() -> None:
    row = booked(metered([(1, TextDelta("a")), (1, used(5, 7))], streaming=False))
    assert (row.ttft_ms, row.stalls, row.gap_max_ms) == (None, None, None)
    assert row.stream_duration_ms == 9000.0


@pytest.mark.parametrize(
    ("sent", "normal"),
    [
        ("stop", "stop"),
        ("end_turn", "stop"),
        ("length", "length"),
        ("weird", "other"),
        (None, None),
    ],
)
def test_the_finish_reason_stands_as_sent_and_in_its_normal_form(
    sent: str | None, normal: str | None
) -> None:
    row = booked(metered([(1, Finished(sent))] if sent else []))
    assert (row.finish_reason, row.finish_normal) == (sent, normal)


def test_the_row_names_the_model_that_answered() -> None:
    assert booked(metered([(1, ModelNamed("m-2"))])).response_model == "m-2"


@pytest.mark.parametrize(
    ("event", "price", "nano", "source", "reason"),
    [
        (used(1000, 100), PRICE, 4_500_000, "config", None),
        (used(1000, 100), None, None, None, "no_price"),
        (used(None, 100), PRICE, None, None, "input_unknown"),
        (used(1000, 100, cost="0.25"), None, 250_000_000, "upstream", None),
        (used(1000, 100, cost="0.25"), PRICE, 4_500_000, "config", None),
    ],
)
def test_the_cost_is_of_the_rows_own_numbers(
    event: Event, price: Any, nano: int | None, source: str | None, reason: str | None
) -> None:
    row = booked(metered([(1, event)]), price=price)
    assert (row.cost_nano, row.cost_source, row.cost_reason) == (nano, source, reason)
    assert row.currency == (None if nano is None else "USD")
    assert (row.price is not None) is (price is not None)


LISTED = replace(PRICE, source="genai-prices 1", cache_read=0)
ALL = 2**53


@pytest.mark.parametrize(
    ("price", "first", "then"),
    [
        (PRICE, used(1000, 100), used(ALL, ALL)),  # more than a column holds
        (LISTED, used(1000, 100), used(1000, 100, cost="0.25")),
        (replace(PRICE, output=None), used(1000, 0), used(1000, 5)),
        (PRICE, used(1000, 100), used(1000, 0)),
    ],
)
def test_usage_behind_the_end_leaves_nothing_of_what_was_booked_at_it(
    price: Price, first: Event, then: Event
) -> None:
    attempt = Attempt("up", "openai", "m", price=price)
    meter = metered([*pieces(1, 2), (3, first), (3, Ended())])
    row = ExchangeRecord("id", "owner", 0, status=Status.COMPLETED)
    book(row, attempt, meter, 13.0)
    meter.observe([then], 13.5)
    book(row, attempt, meter, 13.0)
    meter.booked_as_of = None
    assert row == booked(meter, ended=3.0, price=price)
    assert (row.cost_nano is None) is (row.cost_source is None) is (row.cost_reason is not None)


@pytest.mark.parametrize(
    ("endpoint", "written", "nano", "reason"),
    [
        ("embeddings", None, 3_003, None),
        ("embeddings", 0, 3_003, None),
        ("embeddings", 2, 23_003, None),
        ("chat/completions", None, None, "output_unknown"),
    ],
)
def test_an_embedding_costs_what_it_reads(
    endpoint: str, written: int | None, nano: int | None, reason: str | None
) -> None:
    tier = Tier(100, Rates(2 * USD, 15 * USD, reasoning=USD))
    price = Price("config", "USD", USD, 10 * USD, reasoning=USD, fee=3, tiers=(tier,))
    meter = metered([(1, used(3, written))], streaming=False)
    row = booked(meter, price=price, endpoint=endpoint)
    assert (row.output_tokens, row.cost_nano, row.cost_reason) == (written, nano, reason)
    assert row.price is not None
    kept = Price.from_json(row.price)
    if endpoint == "embeddings" and written is None:
        assert (kept.rates, kept.rates_for(101)) == (Rates(USD, None), Rates(2 * USD, None))
    else:
        assert (kept.rates, kept.rates_for(101)) == (price.rates, tier.rates)


@pytest.mark.parametrize(
    ("events", "mismatch"),
    [
        ([used(5, 7), TimingsReported(TIMINGS)], False),
        ([used(5, 8), TimingsReported(TIMINGS)], True),
        ([used(6, 7), TimingsReported(TIMINGS)], True),
        ([used(None, 7), TimingsReported(TIMINGS)], False),
        ([TimingsReported(TIMINGS), Finished("stop")], False),
        ([used(5, 7)], False),
    ],
)
def test_timings_and_usage_that_disagree_are_flagged(events: list[Event], mismatch: bool) -> None:
    meter = metered([(1, event) for event in [*events, Ended()]])
    check_consistency(meter, meter.booked())
    assert ("usage_mismatch" in meter.anomalies) is mismatch


def test_what_the_client_is_told_is_the_row() -> None:
    row = booked(metered([*pieces(1, 2), (2, used(5, 7))]), price=PRICE)
    told = metadata_of(row)
    assert told.pop("request_id") == "id"
    assert {name: getattr(row, name) for name in told} == told
    assert json.loads(json.dumps(told)) == told


@pytest.mark.parametrize(
    ("sent", "status", "billed"),
    [(False, None, False), (True, None, True), (True, 200, True), (True, 429, False)],
)
def test_only_what_was_sent_and_not_refused_may_have_been_billed(
    sent: bool, status: int | None, billed: bool
) -> None:
    row = booked(metered([(1, used(5, 7))]))
    attempt = AttemptRecord("id", 1, "up", "openai", http_status=status)
    close_attempt(attempt, row, sent)
    assert attempt.may_have_been_billed is billed
    assert (attempt.outcome, attempt.input_tokens, attempt.output_tokens) == ("completed", 5, 7)


# --- what the tables above leave out -------------------------------------------------------------


def test_each_count_has_its_column_and_the_tier_its_own() -> None:
    event = UsageReported(TokenUsage(9, 7, 4, 3, 2), service_tier="flex")
    row = booked(metered([(1, event)]))
    assert (row.input_tokens, row.output_tokens, row.cache_read_tokens) == (9, 7, 4)
    assert (row.cache_write_tokens, row.reasoning_tokens) == (3, 2)
    assert (row.service_tier, row.usage_source, row.input_source) == (
        "flex",
        "provider",
        "provider",
    )


def test_a_measured_speed_has_three_decimals() -> None:
    row = booked(metered([*pieces(1, 2, 4), (4, used(5, 9))]))
    assert (row.generation_tps, row.generation_ms) == (2.667, 3000.0)


@pytest.mark.parametrize("events", [[], [(2.0, used(5))]])
def test_a_whole_answer_without_a_count_has_no_speed(events: list[tuple[float, Event]]) -> None:
    row = booked(metered([*pieces(1, 2), *events], streaming=False))
    assert (row.output_tokens, row.generation_tps, row.tps_source) == (None, None, "none")


def test_a_count_that_still_runs_is_not_held_against_the_timings() -> None:
    meter = metered([(1, UsageReported(TokenUsage(5, 8), running=True))])
    meter.observe([TimingsReported(TIMINGS)], 12.0)
    check_consistency(meter, meter.booked())
    assert meter.booked().usage_source == "running"
    assert not meter.anomalies


def test_several_choices_are_not_held_against_the_timings_of_one() -> None:
    meter = Meter(10.0, sum_choices=True)
    meter.observe([used(5, 14), TimingsReported(TIMINGS)], 11.0)
    check_consistency(meter, meter.booked())
    assert not meter.anomalies


@pytest.mark.parametrize(
    "timings", [Timings(prompt_n=3), Timings(cache_n=2), Timings(predicted_n=7, cache_n=9)]
)
def test_timings_that_state_half_of_the_prompt_contradict_nothing(timings: Timings) -> None:
    meter = metered([(1, used(5, 7)), (1, TimingsReported(timings))])
    check_consistency(meter, meter.booked())
    assert not meter.anomalies
