"""Responses API events and answers as events of ours."""

from __future__ import annotations

import json
from typing import Any

import pytest

from streamgauge.core.dialects.openai.responses import ResponsesDecoder
from streamgauge.core.events import (
    Ended,
    Event,
    Failed,
    Finished,
    ModelNamed,
    Noted,
    ReasoningDelta,
    Shown,
    Started,
    TextDelta,
    TimingsReported,
    ToolCallDelta,
    ToolCallStarted,
    UsageReported,
)
from streamgauge.core.usage import Timings, TokenUsage

USAGE = {
    "input_tokens": 12,
    "input_tokens_details": {"cached_tokens": 8},
    "output_tokens": 5,
    "output_tokens_details": {"reasoning_tokens": 2},
    "total_tokens": 17,
}
REPORTED = UsageReported(TokenUsage(12, 5, 8, None, 2))


def decode(*frames: dict[str, Any] | bytes, event: bytes = b"") -> list[Event]:
    decoder, events = ResponsesDecoder(), list[Event]()
    for frame in frames:
        raw = frame if isinstance(frame, bytes) else json.dumps(frame).encode()
        events.extend(decoder.decode(raw, event))
    return events


def final(status: str, **members: object) -> dict[str, Any]:
    return {"type": f"response.{status}", "response": {"status": status, "model": "m", **members}}


def test_a_whole_stream() -> None:
    assert decode(
        {"type": "response.created", "response": {"model": "m", "status": "in_progress"}},
        {"type": "response.in_progress", "response": {"model": "m"}},
        {"type": "response.reasoning_summary_text.delta", "delta": "r", "output_index": 0},
        {"type": "response.output_text.delta", "delta": "a", "output_index": 1},
        {"type": "response.output_text.done", "text": "a"},
        {
            "type": "response.output_item.added",
            "output_index": 2,
            "item": {"type": "function_call", "id": "fc", "call_id": "c", "name": "ls"},
        },
        {"type": "response.function_call_arguments.delta", "delta": "{}", "output_index": 2},
        final("completed", usage=USAGE, service_tier=None),
    ) == [
        Started(),
        ModelNamed("m"),
        ReasoningDelta("r"),
        TextDelta("a"),
        ToolCallStarted(0, "c", "ls"),
        ToolCallDelta(0, "{}"),
        Finished("completed"),
        REPORTED,
        Ended(),
    ]


def test_the_three_ends() -> None:
    incomplete = final(
        "incomplete", incomplete_details={"reason": "max_output_tokens"}, usage=USAGE
    )
    assert decode(incomplete) == [ModelNamed("m"), Finished("max_output_tokens"), REPORTED, Ended()]
    failed = final("failed", error={"code": "rate_limit_exceeded", "message": "slow down"})
    assert decode(failed) == [
        ModelNamed("m"),
        Finished("failed"),
        Failed("slow down", None, "rate_limit_exceeded", 429),
        Ended(),
    ]
    assert decode({"type": "response.completed"}) == [Ended()]


def test_timings_stand_beside_the_response() -> None:
    frame = {**final("completed"), "timings": {"predicted_n": 5}}
    assert TimingsReported(Timings(predicted_n=5)) in decode(frame)


@pytest.mark.parametrize(
    ("frame", "event", "events"),
    [
        (
            {"type": "error", "code": "server_error", "message": "m", "param": "input"},
            b"error",
            [Failed("m", None, "server_error", 500, "input")],
        ),
        (
            {"type": "error", "error": {"type": "api_error", "message": "m"}},
            b"error",
            [Failed("m", "api_error", None, 500)],
        ),
        ({"error": {"message": "m"}}, b"", [Failed("m")]),
        (b"boom", b"error", [Failed("boom")]),
        ({"type": "response.refusal.delta", "delta": "no"}, b"", [TextDelta("no")]),
        (
            {"type": "response.output_text.delta", "delta": "a"},
            b"ping",
            [TextDelta("a"), Noted("type_mismatch")],
        ),
        ({"type": "response.output_text.delta", "delta": ""}, b"", []),
        ({"type": "response.output_text.delta", "delta": 7}, b"", [Noted("type_mismatch")]),
        ({"type": "response.output_text.delta", "delta": "\ud800"}, b"", [TextDelta("\ufffd")]),
        ({"type": "response.audio.delta", "delta": "x"}, b"", []),
        ({"delta": "a"}, b"response.output_text.delta", [TextDelta("a")]),
        (b"[DONE]", b"", []),
        (b"{", b"", [Noted("bad_json")]),
        (b"[]", b"", [Noted("type_mismatch")]),
    ],
)
def test_single_frames(frame: dict[str, Any] | bytes, event: bytes, events: list[Event]) -> None:
    assert decode(frame, event=event) == events


def test_an_answer_that_is_no_stream() -> None:
    answer = {
        "status": "completed",
        "model": "m",
        "error": None,
        "output": [
            {"type": "reasoning", "summary": [{"type": "summary_text", "text": "r"}]},
            {"type": "message", "content": [{"type": "output_text", "text": "a"}]},
            {"type": "function_call", "call_id": "c", "name": "ls", "arguments": "{}"},
            {"type": "web_search_call"},
        ],
        "usage": USAGE,
    }
    assert ResponsesDecoder().read_answer(json.dumps(answer).encode()) == (
        ReasoningDelta("r"),
        TextDelta("a"),
        ToolCallStarted(0, "c", "ls"),
        ToolCallDelta(0, "{}"),
        ModelNamed("m"),
        Finished("completed"),
        REPORTED,
        Ended(),
    )
    assert ResponsesDecoder().read_answer(b"[]") is None


@pytest.mark.parametrize(
    ("kind", "shown"),
    [
        ("image_generation_call", True),
        ("mcp_call", False),
        ("message", False),
        ("reasoning", False),
    ],
)
def test_what_a_tool_of_the_upstream_did_is_shown(kind: str, shown: bool) -> None:
    item = {"type": kind, "id": "i", "result": "iVBORw0KGgo="}
    added = {"type": "response.output_item.added", "output_index": 0, "item": item}
    assert decode(added) == [Shown()] * shown
    whole = json.dumps({"status": "completed", "output": [item]}).encode()
    read = ResponsesDecoder().read_answer(whole)
    assert read is not None
    assert (Shown() in read) is shown
