"""Responses as servers rarely write them: as a stream, failed, unfinished, with timings."""

from __future__ import annotations

import json
from typing import Any

import pytest

from streamgauge.core.dialects.openai.decode import ChatDecoder
from streamgauge.core.dialects.openai.response_stream import response_stream
from streamgauge.core.dialects.openai.responses import ResponsesDecoder
from streamgauge.core.events import (
    Ended,
    Event,
    Failed,
    Finished,
    TimingsReported,
    ToolCallDelta,
    ToolCallStarted,
    UsageReported,
)
from streamgauge.core.usage import Timings, TokenUsage


def decode(*frames: dict[str, Any]) -> list[Event]:
    decoder = ChatDecoder()
    return [e for frame in frames for e in decoder.decode(json.dumps(frame).encode(), b"")]


def payloads(stream: bytes | None) -> list[Any]:
    """Return the JSON of each frame of a stream that we made."""
    assert stream is not None
    assert stream.endswith(b"\n\n")
    lines = [line[6:] for line in stream.split(b"\n") if line.startswith(b"data: ")]
    return [line.decode() if line == b"[DONE]" else json.loads(line) for line in lines]


def test_timings_in_the_final_response_are_read() -> None:
    final = {"type": "response.completed", "response": {"timings": {"predicted_n": 4}}}
    assert ResponsesDecoder().decode(json.dumps(final).encode(), b"") == (
        TimingsReported(Timings(predicted_n=4)),
        Ended(),
    )


@pytest.mark.parametrize(
    ("item", "delta", "told"),
    [
        (
            {"type": "custom_tool_call", "call_id": "c1", "name": "patch", "input": "*** Begin"},
            {"type": "response.custom_tool_call_input.delta", "delta": "*** Begin"},
            [ToolCallStarted(0, "c1", "patch"), ToolCallDelta(0, "*** Begin", free=True)],
        ),
        (
            {"type": "mcp_call", "id": "m1", "name": "query", "arguments": "{}"},
            {"type": "response.mcp_call_arguments.delta", "delta": "{}"},
            [ToolCallDelta(0, "{}")],
        ),
    ],
)
def test_a_call_says_the_same_in_a_stream_and_whole(
    item: dict[str, Any], delta: dict[str, Any], told: list[Event]
) -> None:
    decoder = ResponsesDecoder()
    frames = ({"type": "response.output_item.added", "output_index": 0, "item": item},
              {**delta, "output_index": 0})  # fmt: skip
    streamed = [e for frame in frames for e in decoder.decode(json.dumps(frame).encode(), b"")]
    whole = ResponsesDecoder().read_answer(json.dumps({"output": [item]}).encode())
    assert (streamed, whole) == (told, (*told, Ended()))


def test_a_response_as_a_stream() -> None:
    message = {
        "type": "message",
        "id": "m1",
        "content": [
            {"type": "output_text", "text": "a"},
            "no part",
            {"type": "refusal", "refusal": "no"},
            {"type": "output_text", "text": ""},
        ],
    }
    call = {"type": "function_call", "id": "f1", "name": "f", "arguments": "{}"}
    bare = {"type": "function_call", "id": "f2", "arguments": ""}
    answer = {
        "id": "r",
        "status": "incomplete",
        "output": [message, "no item", call, bare, {"type": "message", "content": 7}],
        "usage": {"input_tokens": 1},
    }
    at = {"item_id": "m1", "output_index": 0}
    no_text = {"type": "output_text", "text": ""}
    expected: list[dict[str, Any]] = [
        {
            "type": "response.created",
            "response": {"id": "r", "status": "in_progress", "output": [], "usage": None},
        },
        {
            "type": "response.output_item.added",
            "output_index": 0,
            "item": {"type": "message", "id": "m1", "content": []},
        },
        {"type": "response.content_part.added", **at, "content_index": 0, "part": no_text},
        {
            "type": "response.output_text.delta",
            **at,
            "content_index": 0,
            "delta": "a",
            "logprobs": [],
        },
        {
            "type": "response.output_text.done",
            **at,
            "content_index": 0,
            "text": "a",
            "logprobs": [],
        },
        {
            "type": "response.content_part.done",
            **at,
            "content_index": 0,
            "part": message["content"][0],
        },
        {
            "type": "response.content_part.added",
            **at,
            "content_index": 2,
            "part": {"type": "refusal", "refusal": ""},
        },
        {"type": "response.refusal.delta", **at, "content_index": 2, "delta": "no", "logprobs": []},
        {
            "type": "response.refusal.done",
            **at,
            "content_index": 2,
            "refusal": "no",
            "logprobs": [],
        },
        {
            "type": "response.content_part.done",
            **at,
            "content_index": 2,
            "part": message["content"][2],
        },
        {"type": "response.content_part.added", **at, "content_index": 3, "part": no_text},
        {"type": "response.content_part.done", **at, "content_index": 3, "part": no_text},
        {"type": "response.output_item.done", "output_index": 0, "item": message},
        {
            "type": "response.output_item.added",
            "output_index": 1,
            "item": {**call, "arguments": ""},
        },
        {
            "type": "response.function_call_arguments.delta",
            "item_id": "f1",
            "output_index": 1,
            "delta": "{}",
        },
        {
            "type": "response.function_call_arguments.done",
            "item_id": "f1",
            "output_index": 1,
            "arguments": "{}",
        },
        {"type": "response.output_item.done", "output_index": 1, "item": call},
        {"type": "response.output_item.added", "output_index": 2, "item": bare},
        {"type": "response.output_item.done", "output_index": 2, "item": bare},
        {"type": "response.output_item.added", "output_index": 3, "item": answer["output"][4]},
        {"type": "response.output_item.done", "output_index": 3, "item": answer["output"][4]},
        {"type": "response.incomplete", "response": answer},
    ]
    stream = response_stream(json.dumps(answer).encode())
    assert payloads(stream) == [{**e, "sequence_number": n} for n, e in enumerate(expected)]
    assert stream is not None
    events = [line[7:] for line in stream.decode().split("\n") if line.startswith("event: ")]
    assert events == [event["type"] for event in expected]


@pytest.mark.parametrize(
    ("kind", "key", "name"),
    [
        ("custom_tool_call", "input", "custom_tool_call_input"),
        ("mcp_call", "arguments", "mcp_call_arguments"),
    ],
)
def test_the_input_of_every_call_is_said_in_deltas(kind: str, key: str, name: str) -> None:
    item = {"type": kind, "id": "t", "name": "f", key: "hello"}
    body = json.dumps({"status": "completed", "output": [item]}).encode()
    at = {"item_id": "t", "output_index": 0}
    told = payloads(response_stream(body))[1:-1]
    assert [{k: v for k, v in each.items() if k != "sequence_number"} for each in told] == [
        {"type": "response.output_item.added", "output_index": 0, "item": {**item, key: ""}},
        {"type": f"response.{name}.delta", **at, "delta": "hello"},
        {"type": f"response.{name}.done", **at, key: "hello"},
        {"type": "response.output_item.done", "output_index": 0, "item": item},
    ]


@pytest.mark.parametrize("body", [b"[]", b"{", b"{}", b'{"status":"queued"}', b'{"error":null}'])
def test_what_is_no_finished_response_is_no_stream(body: bytes) -> None:
    assert response_stream(body) is None


def test_an_error_without_a_response_becomes_the_error_event() -> None:
    assert response_stream(b'{"error":{"message":"no"}}') == (
        b'event: error\ndata: {"type":"error","error":{"message":"no"}}\n\n'
    )


@pytest.mark.parametrize("kind", ["response.from_the_future.delta", "response.in_progress"])
def test_a_delta_of_an_unknown_event_is_no_content(kind: str) -> None:
    frame = {"type": kind, "delta": "a", "output_index": 0}
    assert list(ResponsesDecoder().decode(json.dumps(frame).encode(), b"")) == []


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ({"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}},
         "max_output_tokens"),
        ({"status": "incomplete", "incomplete_details": {}}, "incomplete"),
        ({"status": "incomplete"}, "incomplete"),
        ({"status": "completed", "incomplete_details": {"reason": "x"}}, "completed"),
        ({"status": "failed"}, "failed"),
        ({"status": "in_progress"}, None),
        ({}, None),
    ],
)  # fmt: skip
def test_the_finish_of_a_response_is_its_status_or_the_reason_of_an_incomplete_one(
    members: dict[str, Any], reason: str | None
) -> None:
    final = {"type": "response.completed", "response": members}
    told = ResponsesDecoder().decode(json.dumps(final).encode(), b"")
    assert [e.reason for e in told if isinstance(e, Finished)] == ([reason] if reason else [])


@pytest.mark.parametrize(
    ("members", "failed"),
    [
        ({"message": "a", "code": "c", "status": 429}, Failed("a", None, "c", 429)),
        (
            {"error": {"message": "a", "type": "server_error"}},
            Failed("a", "server_error", None, 500),
        ),
        ({"error": "a"}, Failed("a")),
        ({"error": 7, "message": "a"}, Failed("a")),
    ],
)
def test_an_error_event_says_its_own_members_or_its_error(
    members: dict[str, Any], failed: Failed
) -> None:
    frame = {"type": "error", **members}
    assert tuple(ResponsesDecoder().decode(json.dumps(frame).encode(), b"")) == (failed,)


def test_a_failed_response_has_its_error_and_its_tier() -> None:
    def read(**members: Any) -> list[Event]:
        frame = {"type": "response.failed", "response": members}
        return list(ResponsesDecoder().decode(json.dumps(frame).encode(), b""))

    silent = "the upstream reported an error without a message"
    assert read(status="failed") == [Finished("failed"), Failed(silent), Ended()]
    assert read(error={"message": "a"}) == [Failed("a"), Ended()]
    assert read(service_tier="flex", usage={"input_tokens": 3, "output_tokens": 2}) == [
        UsageReported(TokenUsage(3, 2), service_tier="flex"),
        Ended(),
    ]
