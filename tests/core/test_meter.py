"""What the meter books of a stream's events: SPEC §6.1–§6.3 and §6.5 as tables."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from streamgauge.core.events import (
    Ended,
    Event,
    Failed,
    Finished,
    ModelNamed,
    Noted,
    ReasoningDelta,
    Started,
    TextDelta,
    TimingsReported,
    ToolCallDelta,
    ToolCallStarted,
    UsageReported,
)
from streamgauge.core.meter import Booked, Meter
from streamgauge.core.usage import MAX_COUNT, Timings, TokenUsage

TEXT, STOP, END = TextDelta("a"), Finished("stop"), Ended()
TIMINGS = Timings(prompt_n=3, predicted_n=7, cache_n=2)


def read(events: Sequence[Event], *, streaming: bool = True, sum_choices: bool = False) -> Meter:
    """Return a meter that has seen each event in a frame of its own."""
    meter = Meter(0.0, streaming=streaming, sum_choices=sum_choices)
    for event in events:
        meter.observe([event], 1.0)
    return meter


def said(
    *counts: int | None, final: bool = True, running: bool = False, alone: bool = False
) -> UsageReported:
    return UsageReported(TokenUsage(*counts), final=final, running=running, alone=alone)


def start(*counts: int | None) -> UsageReported:
    return said(*counts, final=False)


# --- merging -------------------------------------------------------------------------------------

MERGED: dict[str, tuple[list[Event], TokenUsage]] = {
    "once": ([said(9, 4)], TokenUsage(9, 4)),
    "the last stated wins": ([said(9, 4), said(10, 6)], TokenUsage(10, 6)),
    "null states nothing": ([said(9, 4, 1, 2, 3), said(None, 6)], TokenUsage(9, 6, 1, 2, 3)),
    "zero is a value": ([said(9, 4, 1), said(9, 4, 0)], TokenUsage(9, 4, 0)),
    "zero output": ([said(9, 0)], TokenUsage(9, 0)),
    "twice with more detail": ([said(9, 4), said(9, 4, 2, None, 1)], TokenUsage(9, 4, 2, None, 1)),
    "input at the start": ([start(9, None, 5), TEXT, said(None, 4)], TokenUsage(9, 4, 5)),
    "a placeholder is replaced": ([start(9, 1), TEXT, said(None, 4)], TokenUsage(9, 4)),
    "the input said again": ([start(9, 1), said(12, 4)], TokenUsage(12, 4)),
    "a late start's placeholder": ([said(9, 4), start(9, 1)], TokenUsage(9, 4)),
    "running, then final": ([said(9, 1, running=True), said(9, 4)], TokenUsage(9, 4)),
    "with choices not summed": ([said(9, 4, alone=True), said(9, 6, alone=True)], TokenUsage(9, 6)),
}


@pytest.mark.parametrize(("events", "usage"), MERGED.values(), ids=MERGED.keys())
def test_usage_is_merged_field_by_field(events: list[Event], usage: TokenUsage) -> None:
    booked = read([*events, STOP, END]).booked()
    assert booked == Booked(usage, "provider", "provider")


SUMMED: dict[str, tuple[list[Event], TokenUsage]] = {
    "one choice": ([said(9, 4, alone=True)], TokenUsage(9, 4)),
    "two choices": ([said(9, 4, 1, alone=True), said(9, 6, 1, alone=True)], TokenUsage(9, 10, 1)),
    "three": ([said(9, n, alone=True) for n in (1, 2, 3)], TokenUsage(9, 6)),
    "not alone": ([said(9, 4), said(9, 6)], TokenUsage(9, 6)),
    "after a placeholder": ([start(9, 1), said(9, 6, alone=True)], TokenUsage(9, 6)),
    "without an output": ([said(9, 4, alone=True), said(9, None, alone=True)], TokenUsage(9, 4)),
}


@pytest.mark.parametrize(("events", "usage"), SUMMED.values(), ids=SUMMED.keys())
def test_outputs_of_several_choices_are_added_and_the_prompt_is_not(
    events: list[Event], usage: TokenUsage
) -> None:
    meter = read(events, sum_choices=True)
    assert meter.booked().usage == usage
    assert "usage_decreased" not in meter.anomalies or events[0] == said(9, 4)


@pytest.mark.parametrize(
    ("events", "decreased"),
    [
        ([said(9, 6), said(9, 4)], True),
        ([said(9, 4), said(9, 4)], False),
        ([said(9, 4), said(9, 6)], False),
        ([said(9, 6, running=True), said(9, 4)], True),
        ([start(9, 6), said(9, 4)], False),
        ([said(9, 6), said(8, None)], False),
    ],
)
def test_an_output_that_shrinks_is_flagged(events: list[Event], decreased: bool) -> None:
    assert ("usage_decreased" in read(events).anomalies) is decreased


def test_a_sum_of_outputs_stays_what_a_row_can_hold() -> None:
    meter = read([said(9, MAX_COUNT, alone=True) for _ in range(2000)], sum_choices=True)
    assert meter.booked().usage.output == MAX_COUNT


def test_outputs_of_several_choices_are_added_from_their_timings_too() -> None:
    meter = Meter(0.0, choices=2, sum_choices=True)
    first, second = (Timings(prompt_n=6, cache_n=4, predicted_n=n) for n in (2, 3))

    def timed(*events: Event) -> tuple[TokenUsage, str]:
        meter.observe(events, 1.0)
        return meter.booked().usage, meter.booked().usage_source

    assert timed(TEXT, TimingsReported(second)) == (TokenUsage(10, 3, 4), "running")
    assert timed(STOP, TimingsReported(first)) == (TokenUsage(10, 2, 4), "running")
    assert timed(TEXT, TimingsReported(second)) == (TokenUsage(10, 5, 4), "running")
    assert timed(Finished("stop", 1), TimingsReported(second)) == (TokenUsage(10, 5, 4), "timings")
    assert timed(END) == (TokenUsage(10, 5, 4), "timings")


# --- sources -------------------------------------------------------------------------------------

SOURCES: dict[str, tuple[list[Event], Booked]] = {
    "nothing": ([], Booked(TokenUsage(), "none", "none")),
    "only a role": ([Started()], Booked(TokenUsage(), "none", "none")),
    "final": ([TEXT, said(9, 4)], Booked(TokenUsage(9, 4), "provider", "provider")),
    "final output only": ([TEXT, said(None, 4)], Booked(TokenUsage(None, 4), "provider", "none")),
    "running": ([TEXT, said(9, 1, running=True)], Booked(TokenUsage(9, 1), "running", "running")),
    "running, after the finish": (
        [TEXT, STOP, said(9, 1, running=True)],
        Booked(TokenUsage(9, 1), "provider", "provider"),
    ),
    "running, then the finish": (
        [TEXT, said(9, 1, running=True), STOP],
        Booked(TokenUsage(9, 1), "provider", "provider"),
    ),
    "running, then the marker": (
        [TEXT, said(9, 1, running=True), END],
        Booked(TokenUsage(9, 1), "provider", "provider"),
    ),
    "text behind the count": (
        [said(9, 1, alone=True), TEXT],
        Booked(TokenUsage(9, 1), "running", "running"),
    ),
    "more text behind the count than it has tokens": (
        [said(9, 1, alone=True), TEXT, TEXT],
        Booked(TokenUsage(9, 2), "counted", "provider"),
    ),
    "a running count before all text, then the marker": (
        [said(9, 0, running=True), TEXT, TEXT, STOP, END],
        Booked(TokenUsage(9, 2), "counted", "provider"),
    ),
    "text behind a running count, then the marker": (
        [said(9, 4, running=True), TEXT, STOP, END],
        Booked(TokenUsage(9, 4), "running", "running"),
    ),
    "text behind the finish and the count": (
        [TEXT, STOP, said(9, 2), TEXT],
        Booked(TokenUsage(9, 2), "running", "running"),
    ),
    "text behind the count, then the marker": (
        [said(9, 1), TEXT, END],
        Booked(TokenUsage(9, 1), "provider", "provider"),
    ),
    "timings at the end": (
        [TEXT, TimingsReported(TIMINGS), STOP],
        Booked(TokenUsage(5, 7, 2), "timings", "timings"),
    ),
    "timings and the marker": (
        [TEXT, TimingsReported(TIMINGS), END],
        Booked(TokenUsage(5, 7, 2), "timings", "timings"),
    ),
    "timings up to the cut": (
        [TEXT, TimingsReported(TIMINGS)],
        Booked(TokenUsage(5, 7, 2), "running", "running"),
    ),
    "timings without the cache": (
        [TimingsReported(Timings(prompt_n=3, predicted_n=7)), STOP],
        Booked(TokenUsage(None, 7), "timings", "none"),
    ),
    "timings without an output": (
        [TEXT, TimingsReported(Timings(prompt_n=3, cache_n=2)), STOP],
        Booked(TokenUsage(None, 1), "counted", "none"),
    ),
    "usage before timings": (
        [said(9, 4), TimingsReported(TIMINGS), STOP],
        Booked(TokenUsage(9, 4), "provider", "provider"),
    ),
    "counted": ([TEXT, TEXT], Booked(TokenUsage(None, 2), "counted", "none")),
    "counted with an input": (
        [start(9, 1, 5), TEXT, TEXT],
        Booked(TokenUsage(9, 2, 5), "counted", "provider"),
    ),
    "an input and no content": ([start(9, 1)], Booked(TokenUsage(9, 0), "counted", "provider")),
}


@pytest.mark.parametrize(("events", "booked"), SOURCES.values(), ids=SOURCES.keys())
def test_the_source_of_each_count_is_named(events: list[Event], booked: Booked) -> None:
    assert read(events).booked() == booked


def test_a_count_covers_the_text_of_its_own_frame() -> None:
    meter = Meter(0.0)
    meter.observe([TEXT], 1.0)
    meter.observe([said(9, 4), TEXT], 2.0)
    assert meter.booked().usage_source == "provider"
    meter.observe_texts((3.0,))
    assert meter.booked().usage_source == "running"


def test_the_count_of_one_choice_is_not_that_of_two() -> None:
    meter = Meter(0.0, choices=2, sum_choices=True)
    for event in (TEXT, STOP, said(9, 1, alone=True)):
        meter.observe([event], 1.0)
    assert meter.booked().usage_source == "running"
    meter.observe([Finished("stop", 1)], 1.0)
    assert meter.booked().usage_source == "provider"


@pytest.mark.parametrize(
    ("events", "booked"),
    [
        ([TEXT, said(9, 4), END], Booked(TokenUsage(9, 4), "provider", "provider")),
        ([TEXT, END], Booked(TokenUsage(), "none", "none")),
        ([said(9), END], Booked(TokenUsage(9), "none", "provider")),
        ([TEXT, TimingsReported(TIMINGS), END], Booked(TokenUsage(5, 7, 2), "timings", "timings")),
    ],
)
def test_a_whole_answer_is_never_counted(events: list[Event], booked: Booked) -> None:
    assert read(events, streaming=False).booked() == booked


@pytest.mark.parametrize(
    ("event", "content"),
    [
        (TextDelta("a"), True),
        (TextDelta(""), False),
        (ReasoningDelta("a"), True),
        (ReasoningDelta(""), False),
        (ToolCallDelta(0, "{"), True),
        (ToolCallDelta(0, ""), False),
        (ToolCallStarted(0, "id", "name"), False),
        (Started(), False),
        (STOP, False),
        (said(9, 4), False),
        (Ended(), False),
    ],
)
def test_content_is_text_reasoning_or_arguments(event: Event, content: bool) -> None:
    meter = Meter(0.0)
    assert meter.observe([event], 2.0) is content
    assert meter.content_frames == int(content)
    assert meter.first_content == (2.0 if content else None)


def test_a_frame_counts_once_whatever_it_holds() -> None:
    meter = Meter(0.0)
    assert meter.observe([TextDelta("a", 0), TextDelta("b", 1), ToolCallDelta(0, "{")], 1.0)
    assert meter.booked().usage.output == 1


def test_the_last_of_model_finish_and_timings_stands() -> None:
    other = Timings(predicted_n=9)
    events = [
        ModelNamed("a"),
        STOP,
        TimingsReported(TIMINGS),
        Finished("length"),
        TimingsReported(other),
    ]
    meter = read([*events, ModelNamed("a")])
    assert (meter.model, meter.finish_reason, meter.timings) == ("a", "length", other)
    assert not meter.anomalies
    meter.observe([ModelNamed("b")], 1.0)
    assert (meter.model, list(meter.anomalies)) == ("b", ["model_changed"])


def test_cost_and_tier_are_kept_and_an_anomaly_is_noted_once() -> None:
    meter = read(
        [
            UsageReported(TokenUsage(1, 1), service_tier="flex", cost="0.01"),
            UsageReported(TokenUsage(1, 1)),
            Noted("bad_json"),
            Noted("bad_json"),
            Failed("broke"),
        ]
    )
    assert (meter.service_tier, meter.cost) == ("flex", "0.01")
    assert list(meter.anomalies) == ["bad_json"]
    assert meter.failed == Failed("broke")


# --- finish --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("finished", "reason"),
    [
        ([], None),
        ([(0, "stop")], None),
        ([(1, "length")], None),
        ([(0, "stop"), (0, "stop")], None),
        ([(0, "stop"), (2, "stop")], None),
        ([(0, "stop"), (1, "length")], "length"),
        ([(1, "length"), (0, "stop")], "stop"),
        ([(0, "stop"), (1, "length"), (0, "tool_calls")], "tool_calls"),
    ],
)
def test_an_answer_has_finished_when_each_choice_that_was_asked_for_has(
    finished: list[tuple[int, str]], reason: str | None
) -> None:
    events = [Finished(each, choice) for choice, each in finished]
    meter = Meter(0.0, choices=2)
    meter.observe([TEXT, *events], 1.0)
    assert meter.finish_reason == reason
    meter.observe([END], 1.0)
    assert meter.finish_reason == (events[-1].reason if events else None), "no more can come"


def test_the_last_reason_stated_stands() -> None:
    assert read([STOP, Finished("tool_calls")]).finish_reason == "tool_calls"
    assert read([STOP, Finished("length", 1)]).finish_reason == "length"


def test_a_meter_that_has_seen_nothing_knows_nothing() -> None:
    meter = Meter(3.0)
    assert meter.choices == 1
    assert (meter.started, meter.streaming, meter.sum_choices) == (3.0, True, False)
    known = (meter.model, meter.service_tier, meter.cost, meter.timings, meter.failed)
    assert known == (None,) * 5
    assert (meter.finish_reason, meter.first_content, meter.last_content) == (None,) * 3
    assert (meter.frames, meter.content_frames, meter.stalls, meter.ended) == (0, 0, 0, False)
    assert meter.booked() == Booked(TokenUsage(), "none", "none")


def test_of_a_long_stream_the_gaps_are_thinned_out_evenly() -> None:
    meter = Meter(0.0)
    for n in range(50_001):
        meter.observe([TEXT], float(n))
    # 4096, 8192, 16 384 and 32 768 gaps: each time every second one stayed.
    assert len(meter._gaps) == 50_000 // 16
    assert meter.gaps() == (1.0, 1.0, 1.0)
    assert meter.stalls == 0
    for n in range(4):
        meter.observe([TEXT], 50_000 + 2.5 * (n + 1))
    assert meter.stalls == 4
