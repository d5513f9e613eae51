"""Recorded wires of a real llama.cpp server, read whole: their own usage, timings and finish."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from streamgauge.core.dialects.registry import dialect_of
from streamgauge.core.events import (
    Ended,
    Event,
    Finished,
    ModelNamed,
    ReasoningDelta,
    TextDelta,
    TimingsReported,
    ToolCallDelta,
    ToolCallStarted,
    UsageReported,
)
from streamgauge.core.meter import Meter
from streamgauge.core.usage import TokenUsage

Read = Callable[[str, bytes], list[Event]]
Capture = Callable[[str], bytes]


def usages(events: list[Event]) -> list[TokenUsage]:
    return [event.usage for event in events if isinstance(event, UsageReported)]


def text_of(events: list[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


@pytest.mark.parametrize(
    ("case", "usage", "finish", "ended"),
    [
        ("chat_stream_usage", TokenUsage(8, 20, 1), "stop", True),
        ("chat_stream_timings_per_token", TokenUsage(8, 10, 7), "stop", True),
        ("chat_stream_tool", TokenUsage(193, 18, 132), "tool_calls", True),
        ("chat_stream_nousage", None, "stop", True),
        ("chat_stream_usage_false", None, "stop", True),
        ("chat_stream_client_stop", None, None, False),
        ("completion_native", TokenUsage(4, 10), "eos", True),
    ],
)
def test_an_openai_stream_gives_its_own_numbers(
    read_stream: Read,
    capture: Capture,
    case: str,
    usage: TokenUsage | None,
    finish: str | None,
    ended: bool,
) -> None:
    events = read_stream(
        "completions" if case.startswith("comp") else "chat/completions", capture(case)
    )
    assert usages(events)[-1:] == ([] if usage is None else [usage])
    reasons = [e.reason for e in events if isinstance(e, Finished)]
    assert reasons == ([] if finish is None else [finish])
    assert (Ended() in events) is ended
    assert len([e for e in events if isinstance(e, ModelNamed)]) == 1


def test_every_recorded_stream_is_read_without_an_anomaly(
    read_stream: Read, capture: Capture, metered: Callable[[list[Event]], Meter]
) -> None:
    streams = {
        "chat/completions": (
            "chat_stream_length chat_stream_logprobs chat_stream_slow chat_stream_sse_ping "
            "chat_stream_usage chat_stream_tool chat_stream_client_stop"
        ),
        "completions": "completion_native completions_oai",
        "messages": (
            "messages_stream messages_stream_length messages_stream_stopseq messages_stream_tool "
            "messages_stream_timings messages_stream_client_stop messages_err_nomaxtokens"
        ),
    }
    for endpoint, cases in streams.items():
        for case in cases.split():
            meter = metered(read_stream(endpoint, capture(case)))
            assert not meter.anomalies, case
            assert meter.failed is None, case
            assert meter.content_frames >= 1, case


def test_timings_without_usage_stand_on_the_finish_frame(
    read_stream: Read, capture: Capture
) -> None:
    events = read_stream("chat/completions", capture("chat_stream_nousage"))
    (timings,) = [e.timings for e in events if isinstance(e, TimingsReported)]
    assert (timings.cache_n, timings.prompt_n, timings.predicted_n) == (7, 1, 20)
    assert (timings.prompt_ms, timings.predicted_ms) == (1.115, 8.816)
    assert timings.predicted_per_second == 2155.1724137931033


def test_timings_per_token_are_reported_with_every_frame(
    read_stream: Read, capture: Capture
) -> None:
    events = read_stream("chat/completions", capture("chat_stream_timings_per_token"))
    counts = [e.timings.predicted_n for e in events if isinstance(e, TimingsReported)]
    assert counts == [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]
    assert (
        next(e for e in events if isinstance(e, TimingsReported)).timings.predicted_per_second
        == 0.0
    )


def test_the_usage_frame_we_ask_for_is_alone(read_stream: Read, capture: Capture) -> None:
    events = read_stream("chat/completions", capture("chat_stream_usage"))
    (usage,) = [e for e in events if isinstance(e, UsageReported)]
    assert usage.alone
    assert usage.final
    assert not usage.running


def test_native_frames_count_as_they_run(read_stream: Read, capture: Capture) -> None:
    events = read_stream("completions", capture("completion_native"))
    reported = [e for e in events if isinstance(e, UsageReported)]
    assert [e.usage.output for e in reported] == [*range(1, 11), 10]
    assert [e.running for e in reported] == [True] * 10 + [False]
    assert text_of(events) == "".join(f" w{n}" for n in range(191, 200))
    assert events[-1] == Ended()


@pytest.mark.parametrize(
    ("case", "usage", "finish"),
    [
        ("messages_stream", TokenUsage(8, 20, 7), "end_turn"),
        ("messages_stream_length", TokenUsage(8, 5, 7), "max_tokens"),
        ("messages_stream_stopseq", TokenUsage(8, 5, 7), "end_turn"),
        ("messages_stream_timings", TokenUsage(8, 3, 7), "end_turn"),
        ("messages_stream_tool", TokenUsage(193, 18, 192), "tool_use"),
    ],
)
def test_a_messages_stream_gives_its_own_numbers(
    read_stream: Read, capture: Capture, case: str, usage: TokenUsage, finish: str
) -> None:
    events = read_stream("messages", capture(case))
    first, last = (e for e in events if isinstance(e, UsageReported))
    assert (first.usage.output, first.final) == (None, False)
    assert (last.usage, last.final) == (usage, True)
    assert [e.reason for e in events if isinstance(e, Finished)] == [finish]
    assert events[-1] == Ended()


def test_a_cut_messages_stream_has_its_input_and_no_output(
    read_stream: Read, capture: Capture
) -> None:
    events = read_stream("messages", capture("messages_stream_client_stop"))
    assert usages(events) == [TokenUsage(8, None, 7)]
    assert Ended() not in events


@pytest.mark.parametrize(
    ("endpoint", "case"),
    [("chat/completions", "chat_stream_tool"), ("messages", "messages_stream_tool")],
)
def test_a_tool_call_in_pieces_joins_to_its_json(
    read_stream: Read, capture: Capture, endpoint: str, case: str
) -> None:
    events = read_stream(endpoint, capture(case))
    (started,) = [e for e in events if isinstance(e, ToolCallStarted)]
    assert (started.index, started.name) == (0, "get_weather")
    assert started.id
    pieces = [e for e in events if isinstance(e, ToolCallDelta)]
    assert {e.index for e in pieces} == {0}
    assert "".join(e.arguments for e in pieces) == '{"city": "Rome", "days": 2}'


@pytest.mark.parametrize(
    ("endpoint", "case", "usage"),
    [
        ("chat/completions", "chat_nonstream", TokenUsage(8, 20, 7)),
        ("chat/completions", "chat_nonstream_tool", TokenUsage(193, 18, 192)),
        ("messages", "messages_nonstream", TokenUsage(8, 10, 7)),
    ],
)
def test_a_whole_answer_and_the_stream_made_of_it_say_the_same(
    read_stream: Read,
    capture: Capture,
    metered: Callable[[list[Event]], Meter],
    endpoint: str,
    case: str,
    usage: TokenUsage,
) -> None:
    dialect, body = dialect_of(endpoint), capture(case)
    whole = dialect.read_answer(endpoint, "llamacpp", body)
    assert whole is not None
    assert usages(list(whole)) == [usage]
    assert whole[-1] == Ended()
    stream = dialect.stream_of(endpoint, body)
    assert stream is not None
    streamed = read_stream(endpoint, stream)
    spoken = (TextDelta, ReasoningDelta, ToolCallDelta, ToolCallStarted, Finished, ModelNamed)
    assert [e for e in streamed if isinstance(e, spoken)] == [
        e for e in whole if isinstance(e, spoken)
    ]
    told, booked = metered(list(whole)), metered(streamed)
    assert (booked.timings, booked.booked()) == (told.timings, told.booked())


@pytest.mark.parametrize(
    "name",
    [
        "r003-cr-only r009-unknown-fields r025-two-done r028-whole-answer-twice",
        "r031-usage-decreasing r032-usage-negative r033-usage-string r034-usage-float",
        "r035-usage-1e400 r037-usage-2e63 r038-usage-bool r039-usage-list r041-total-mismatch",
        "r043-choices-null r044-delta-missing r045-two-choices r048-bad-utf8 r049-nul-in-data",
        "r050-deep-json r053-error-event-named r054-error-then-continue r062-done-in-content",
        "r061-event-id-newline-inject r063-done-spaces r065-finish-unknown r066-model-switch",
        "r082-2mb-event-legal r160-good r161-no-stop r163-error-mid r164-error-first",
        "r167-index-jump r168-type-event-mismatch r169-no-event-names r170-usage-in-both",
        "r171-unknown-block",
    ],
)
def test_a_scripted_answer_books_what_its_row_must_hold(
    read_stream: Read,
    scripted: Callable[[str], tuple[Mapping[str, Any], bytes]],
    metered: Callable[[list[Event]], Meter],
    name: str,
) -> None:
    for case_id in name.split():
        case, body = scripted(case_id)
        row = case["ledger"]
        endpoint = "messages" if case["proto"] == "anthropic" else "chat/completions"
        meter = metered(read_stream(endpoint, body))
        booked = meter.booked()
        assert booked.usage.input == row["prompt"], case_id
        assert booked.usage.output == row["completion"], case_id
        assert booked.usage_source == row["usage_source"], case_id
        assert meter.ended is (
            row["status"] == "completed" or case_id == "r054-error-then-continue"
        )
        assert (meter.failed is not None) is (row["status"] == "upstream_error"), case_id
