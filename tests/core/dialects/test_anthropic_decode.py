"""Anthropic events, regular and odd, as events of ours; its usage, which comes in parts."""

from __future__ import annotations

import json
from timeit import repeat
from typing import Any

import pytest

from streamgauge.core.dialects.anthropic.decode import MessagesDecoder
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
    ThoughtRedacted,
    ThoughtSigned,
    ToolCallDelta,
    ToolCallStarted,
    UsageReported,
)
from streamgauge.core.usage import TokenUsage


def decode(*frames: dict[str, Any] | bytes, event: bytes | None = b"") -> list[Event]:
    """Decode frames in one stream; `event` None names each frame by its own type."""
    decoder, events = MessagesDecoder(), list[Event]()
    for frame in frames:
        raw = frame if isinstance(frame, bytes) else json.dumps(frame).encode()
        name = event if event is not None else str(json.loads(raw).get("type")).encode()
        events.extend(decoder.decode(raw, name))
    return events


def start(usage: object, model: str | None = "m") -> dict[str, Any]:
    return {
        "type": "message_start",
        "message": {"id": "msg_1", "model": model, "content": [], "usage": usage},
    }


def delta(content: object, index: int = 0) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": index, "delta": content}


def block(content: object, index: int = 0) -> dict[str, Any]:
    return {"type": "content_block_start", "index": index, "content_block": content}


def end(usage: object, reason: str | None = "end_turn") -> dict[str, Any]:
    return {
        "type": "message_delta",
        "delta": {"stop_reason": reason, "stop_sequence": None},
        "usage": usage,
    }


def usages(*frames: dict[str, Any] | bytes) -> list[UsageReported]:
    return [event for event in decode(*frames) if isinstance(event, UsageReported)]


def notes(*frames: dict[str, Any] | bytes) -> list[str]:
    return [event.anomaly for event in decode(*frames) if isinstance(event, Noted)]


STOP = {"type": "message_stop"}


@pytest.mark.parametrize("event", [b"", None])
def test_a_whole_stream_with_and_without_event_names(event: bytes | None) -> None:
    frames = [
        start({"input_tokens": 9, "cache_read_input_tokens": 120, "output_tokens": 1}),
        block({"type": "thinking", "thinking": "", "signature": ""}),
        delta({"type": "thinking_delta", "thinking": "r"}),
        delta({"type": "signature_delta", "signature": "S"}),
        {"type": "content_block_stop", "index": 0},
        {"type": "ping"},
        block({"type": "tool_use", "id": "t", "name": "ls", "input": {}}, 1),
        delta({"type": "input_json_delta", "partial_json": ""}, 1),
        delta({"type": "input_json_delta", "partial_json": '{"p":1}'}, 1),
        end({"output_tokens": 31, "output_tokens_details": {"thinking_tokens": 12}}, "tool_use"),
        STOP,
    ]
    assert decode(*frames, event=event) == [
        Started(),
        ModelNamed("m"),
        UsageReported(TokenUsage(129, None, 120), final=False),
        ReasoningDelta("r"),
        ThoughtSigned("S"),
        ToolCallStarted(0, "t", "ls"),
        ToolCallDelta(0, '{"p":1}'),
        Finished("tool_use"),
        UsageReported(TokenUsage(129, 31, 120, None, 12)),
        Ended(),
    ]


@pytest.mark.parametrize(
    ("begun", "ended", "total"),
    [
        ({"input_tokens": 7, "output_tokens": 1}, {"output_tokens": 3}, TokenUsage(7, 3)),
        (
            {"input_tokens": 0, "output_tokens": 0},
            {"input_tokens": 5, "output_tokens": 3},
            TokenUsage(5, 3),
        ),
        (
            {"input_tokens": 0},
            {"input_tokens": 5, "output_tokens": 3, "cache_read_input_tokens": 4},
            TokenUsage(9, 3, 4),
        ),
        (
            {"input_tokens": 7, "cache_read_input_tokens": 2},
            {"output_tokens": 3, "cache_read_input_tokens": None},
            TokenUsage(9, 3, 2),
        ),
        (
            {"input_tokens": 7, "cache_creation_input_tokens": 4},
            {"output_tokens": 3, "cache_read_input_tokens": 2},
            TokenUsage(13, 3, 2, 4),
        ),
        (
            {"input_tokens": 7, "cache_creation_input_tokens": 4},
            {"input_tokens": 7, "output_tokens": 3},
            TokenUsage(11, 3, None, 4),
        ),
        (None, {"output_tokens": 3}, TokenUsage(None, 3)),
        ({}, {"output_tokens": 0}, TokenUsage(None, 0)),
        ({"cache_read_input_tokens": 2}, {"output_tokens": 3}, TokenUsage(None, 3, 2)),
    ],
)
def test_the_parts_of_usage_are_merged_field_by_field(
    begun: object, ended: object, total: TokenUsage
) -> None:
    assert usages(start(begun), end(ended), STOP)[-1].usage == total
    assert notes(start(begun), end(ended)) == []


def test_later_counts_of_one_stream_are_cumulative() -> None:
    frames = (
        start({"input_tokens": 7}),
        end({"output_tokens": 3}, None),
        end({"output_tokens": 9}),
    )
    assert [u.usage.output for u in usages(*frames)] == [None, 3, 9]


def test_an_input_stated_anew_wins_and_is_flagged() -> None:
    frames = (start({"input_tokens": 7}), end({"input_tokens": 70, "output_tokens": 3}))
    assert usages(*frames)[-1].usage == TokenUsage(70, 3)
    assert notes(*frames) == ["usage_mismatch"]


@pytest.mark.parametrize(
    "usage",
    [
        {"output_tokens": -1},
        {"output_tokens": "3"},
        {"output_tokens": True},
        {"output_tokens": 3.5},
        {"output_tokens": 2**53 + 1},
        {"input_tokens": -7, "output_tokens": 3},
        {"input_tokens": 2**53, "cache_read_input_tokens": 1, "output_tokens": 3},
        {"input_tokens": 7, "cache_read_input_tokens": 2**60, "output_tokens": 3},
        {"output_tokens": 3, "output_tokens_details": {"thinking_tokens": 4}},
        [],
        "x",
    ],
)
def test_an_impossible_usage_is_refused_and_the_earlier_stands(usage: object) -> None:
    frames = (start({"input_tokens": 7, "output_tokens": 1}), end(usage))
    assert notes(*frames) == ["usage_refused"]
    assert [u.usage for u in usages(*frames)] == [TokenUsage(7)]
    assert usages(*frames, end({"output_tokens": 5}))[-1].usage == TokenUsage(7, 5)


@pytest.mark.parametrize(
    ("usage", "anomaly", "counts"),
    [
        ({"input_tokens": 0, "output_tokens": 3}, "suspect_usage", TokenUsage(0, 3)),
        (
            {"input_tokens": 7, "cache_read_input_tokens": -1, "output_tokens": 3},
            "usage_mismatch",
            TokenUsage(7, 3),
        ),
        (
            {"input_tokens": 7, "cache_read_input_tokens": "2", "output_tokens": 3},
            "usage_mismatch",
            TokenUsage(7, 3),
        ),
    ],
)
def test_an_odd_usage_is_kept_and_flagged(usage: object, anomaly: str, counts: TokenUsage) -> None:
    assert notes(end(usage)) == [anomaly]
    assert usages(end(usage))[-1].usage == counts


def test_duplicate_counts_with_two_values_are_refused() -> None:
    payload = b'{"type":"message_delta","delta":{},"usage":{"output_tokens":3,"output_tokens":4}}'
    assert notes(payload) == ["usage_refused"]


def test_the_service_tier_of_the_start_comes_with_the_final_usage() -> None:
    frames = (start({"input_tokens": 1, "service_tier": "priority"}), end({"output_tokens": 1}))
    assert [u.service_tier for u in usages(*frames)] == ["priority", "priority"]


@pytest.mark.parametrize(
    ("frame", "events"),
    [
        (delta({"type": "text_delta", "text": "a"}), [TextDelta("a")]),
        (delta({"type": "text_delta", "text": ""}), []),
        (delta({"type": "text_delta", "text": "\ud800"}), [TextDelta("\ufffd")]),
        (delta({"type": "citations_delta", "citation": {}}), []),
        (delta({"type": "future_delta", "y": 1}), []),
        (delta(None), []),
        (delta({"type": "text_delta", "text": 7}), [Noted("type_mismatch")]),
        (delta([]), [Noted("type_mismatch")]),
        (block({"type": "text", "text": "a"}), [TextDelta("a")]),
        (block({"type": "redacted_thinking", "data": "x"}), [ThoughtRedacted("x")]),
        (
            block({"type": "thinking", "thinking": "a", "signature": "S"}),
            [ReasoningDelta("a"), ThoughtSigned("S")],
        ),
        (delta({"type": "signature_delta", "signature": ""}), []),
        (block({"type": "future_block", "x": 1}), []),
        (block({"type": "tool_use", "id": "t", "name": "ls"}), [ToolCallStarted(0, "t", "ls")]),
        (
            block({"type": "tool_use", "id": "t", "name": "ls", "input": {"n": 1.5}}),
            [ToolCallStarted(0, "t", "ls"), ToolCallDelta(0, '{"n":1.5}')],
        ),
        (start(None, None), [Started()]),
        ({"type": "message_start"}, [Started()]),
        ({"type": "message_start", "message": 7}, [Started(), Noted("type_mismatch")]),
        ({"type": "message_delta"}, []),
        ({"type": "from_the_future", "x": 1}, []),
        ({"type": 7}, [Noted("type_mismatch")]),
        ({"type": "ping", "streamgauge": {}}, []),
        (b"[DONE]", []),
        (b"{", [Noted("bad_json")]),
        (b"7", [Noted("type_mismatch")]),
        (b'{"type":"content_block_delta","delta":{"text":"\xff"}}', [TextDelta("\ufffd")]),
        (
            b'{"type":"content_block_delta","delta":{"text":"a\0"}}',
            [TextDelta("a\0"), Noted("bad_json")],
        ),
        (b'{"type":"x","y":' + b"[" * 20_000 + b"]" * 20_000 + b"}", [Noted("bad_json")]),
    ],
    ids=lambda value: str(value)[:50],
)
def test_single_frames(frame: dict[str, Any] | bytes, events: list[Event]) -> None:
    assert decode(frame) == events


def test_overlapping_tool_blocks_keep_their_numbers() -> None:
    frames = [
        block({"type": "text", "text": ""}, 0),
        block({"type": "tool_use", "id": "a", "name": "f"}, 1),
        block({"type": "tool_use", "id": "b", "name": "g"}, 2),
        delta({"type": "input_json_delta", "partial_json": "1"}, 2),
        delta({"type": "input_json_delta", "partial_json": "2"}, 1),
    ]
    assert decode(*frames) == [
        ToolCallStarted(0, "a", "f"),
        ToolCallStarted(1, "b", "g"),
        ToolCallDelta(1, "1"),
        ToolCallDelta(0, "2"),
    ]


def test_the_type_wins_over_the_events_name() -> None:
    assert decode(delta({"text": "a"}), event=b"ping") == [TextDelta("a"), Noted("type_mismatch")]
    assert decode(STOP, event=b"ping") == [Ended(), Noted("type_mismatch")]
    assert decode({"type": "ping"}, event=b"message_stop") == [Noted("type_mismatch")]


def test_without_a_type_the_name_is_read() -> None:
    assert decode({}, event=b"message_stop") == [Ended()]
    assert decode({"delta": {"text": "a"}, "index": 0}, event=b"content_block_delta") == [
        TextDelta("a")
    ]


@pytest.mark.parametrize(
    ("frame", "event", "failed"),
    [
        (
            {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}},
            b"error",
            Failed("Overloaded", "overloaded_error", None, 529),
        ),
        (
            {"type": "error", "error": {"type": "api_error", "message": "m"}},
            b"",
            Failed("m", "api_error", None, 500),
        ),
        (
            {"code": 500, "message": "m", "type": "server_error"},
            b"error",
            Failed("m", "server_error", "500", 500),
        ),
        (
            {"error": {"code": 400, "message": "m", "type": "exceed_context_size_error"}},
            b"",
            Failed("m", "exceed_context_size_error", "400", 400),
        ),
        ({"error": "boom"}, b"", Failed("boom")),
        ({"type": "error", "message": "m"}, b"error", Failed("m")),
        ({"detail": "boom"}, b"", Failed("boom")),
        (b"boom", b"error", Failed("boom")),
        (b'"boom"', b"error", Failed("boom")),
    ],
)
def test_an_error_in_any_shape_is_a_failure(
    frame: dict[str, Any] | bytes, event: bytes, failed: Failed
) -> None:
    assert [e for e in decode(frame, event=event) if isinstance(e, Failed)] == [failed]


def test_answers_that_are_no_stream() -> None:
    failed = MessagesDecoder().read_answer(
        b'{"type":"error","error":{"type":"api_error","message":"m"}}'
    )
    assert failed == (Failed("m", "api_error", None, 500), Ended())
    whole = {
        "model": "m",
        "content": [
            {"type": "thinking", "thinking": "r", "signature": "S"},
            {"type": "text", "text": "a"},
            {"type": "tool_use", "id": "t", "name": "ls", "input": {"p": "."}},
        ],
        "stop_reason": "tool_use",
        "usage": {"input_tokens": 9, "cache_read_input_tokens": 1, "output_tokens": 31},
    }
    assert MessagesDecoder().read_answer(json.dumps(whole).encode()) == (
        ModelNamed("m"),
        ReasoningDelta("r"),
        ThoughtSigned("S"),
        TextDelta("a"),
        ToolCallStarted(0, "t", "ls"),
        ToolCallDelta(0, '{"p":"."}'),
        Finished("tool_use"),
        UsageReported(TokenUsage(10, 31, 1)),
        Ended(),
    )


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"<html>", b'{"a":NaN}'])
def test_what_is_no_json_object_is_no_answer(body: bytes) -> None:
    assert MessagesDecoder().read_answer(body) is None


def test_a_plain_delta_costs_about_a_microsecond() -> None:
    decoder = MessagesDecoder()
    plain = json.dumps(delta({"type": "text_delta", "text": " w1"})).encode()
    best = (
        min(repeat(lambda: decoder.decode(plain, b"content_block_delta"), number=2000, repeat=5))
        / 2000
    )
    assert best < 5 * 1.5e-6  # five times the figure: the machine may be busy
