"""What we write ourselves, read by the official SDKs over their own stream decoders."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import anthropic
import openai
import pytest

from streamgauge.core.dialects.registry import DIALECTS, dialect_of
from streamgauge.core.errors import ErrorCode, GatewayError
from streamgauge.core.record import ExchangeRecord

from .sdk import anthropic_client, chunks, message, openai_client

Capture = Callable[[str], bytes]
RECORD = ExchangeRecord(
    id="a" * 20,
    owner="o",
    started_at=1_790_000_000_000_000,
    requested_model='m"ü',
    endpoint="chat/completions",
)
PAYLOAD = b'{"request_id":"aaaaaaaaaaaaaaaaaaaa","input_tokens":8}'


@pytest.mark.parametrize("case", ["chat_nonstream", "chat_nonstream_tool"])
def test_openai_reads_the_stream_made_of_an_answer(capture: Capture, case: str) -> None:
    body = capture(case)
    stream = dialect_of("chat/completions").stream_of("chat/completions", body)
    assert stream is not None
    whole = json.loads(body)
    choice = whole["choices"][0]
    read = chunks(stream)
    assert (
        "".join(c.choices[0].delta.content or "" for c in read if c.choices)
        == choice["message"]["content"]
    )
    assert read[-2].choices[0].finish_reason == choice["finish_reason"]
    assert read[-1].usage.completion_tokens == whole["usage"]["completion_tokens"]
    assert read[-1].timings == whole["timings"]
    calls = [call for c in read if c.choices for call in c.choices[0].delta.tool_calls or ()]
    assert [c.function.arguments for c in calls] == [
        c["function"]["arguments"] for c in choice["message"].get("tool_calls", ())
    ]
    assert {c.id for c in read} == {whole["id"]}


def test_openai_reads_completions_made_of_an_answer() -> None:
    body = b'{"choices":[{"index":0,"text":"a\xc3\xbc","finish_reason":"length","logprobs":null}],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}'
    stream = dialect_of("completions").stream_of("completions", body)
    assert stream is not None
    read = list(openai_client(stream).completions.create(model="m", prompt="", stream=True))
    assert "".join(c.choices[0].text for c in read if c.choices) == "aü"
    assert read[-2].choices[0].finish_reason == "length"
    assert read[-1].usage is not None


def test_openai_reads_responses_made_of_an_answer() -> None:
    answer: dict[str, Any] = {
        "id": "resp_1",
        "object": "response",
        "created_at": 1,
        "status": "completed",
        "model": "m",
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "output": [
            {
                "id": "msg_1",
                "type": "message",
                "role": "assistant",
                "status": "completed",
                "content": [{"type": "output_text", "text": "hi", "annotations": []}],
            },
            {
                "id": "fc_1",
                "type": "function_call",
                "call_id": "c",
                "name": "ls",
                "arguments": "{}",
            },
        ],
        "usage": {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3},
    }
    stream = dialect_of("responses").stream_of("responses", json.dumps(answer).encode())
    assert stream is not None
    with openai_client(stream).responses.stream(model="m", input="x") as events:
        given = [e for e in events if e.type == "response.function_call_arguments.delta"]
        final = events.get_final_response()
    assert [each.snapshot for each in given] == ["{}"]
    assert final.output_text == "hi"
    assert final.usage is not None
    assert final.usage.total_tokens == 3


@pytest.mark.parametrize("case", ["messages_nonstream"])
def test_anthropic_reads_the_stream_made_of_an_answer(capture: Capture, case: str) -> None:
    body = capture(case)
    stream = dialect_of("messages").stream_of("messages", body)
    assert stream is not None
    whole, read = json.loads(body), message(stream)
    assert [block.text for block in read.content] == [block["text"] for block in whole["content"]]
    assert read.stop_reason == whole["stop_reason"]
    assert read.usage.output_tokens == whole["usage"]["output_tokens"]
    assert read.usage.cache_read_input_tokens == whole["usage"]["cache_read_input_tokens"]


def test_anthropic_reads_thinking_and_tools_made_of_an_answer() -> None:
    content = [
        {"type": "thinking", "thinking": "r", "signature": "S"},
        {"type": "redacted_thinking", "data": "x"},
        {"type": "text", "text": "a"},
        {"type": "tool_use", "id": "t", "name": "ls", "input": {"p": "ü", "n": 1.5}},
        {"type": "tool_use", "id": "u", "name": "ls", "input": {}},
    ]
    answer = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": content,
        "stop_reason": "tool_use",
        "stop_sequence": None,
        "usage": {"input_tokens": 1, "output_tokens": 2},
    }
    stream = dialect_of("messages").stream_of("messages", json.dumps(answer).encode())
    assert stream is not None
    read = message(stream)
    assert [
        block.model_dump(exclude_none=True, exclude={"caller"}) for block in read.content
    ] == content
    assert read.usage.output_tokens == 2


@pytest.mark.parametrize(
    ("endpoint", "body"),
    [
        ("chat/completions", b"[]"),
        ("chat/completions", b"<html>"),
        ("chat/completions", b'{"object":"list","data":[]}'),
        ("chat/completions", b'{"choices":[7]}'),
        ("messages", b'{"choices":[]}'),
        ("messages", b'{"content":"text"}'),
        ("responses", b'{"status":"queued"}'),
        ("embeddings", b'{"data":[]}'),
    ],
)
def test_what_is_no_answer_makes_no_stream(endpoint: str, body: bytes) -> None:
    assert dialect_of(endpoint).stream_of(endpoint, body) is None


def test_an_error_object_makes_a_stream_that_fails() -> None:
    stream = dialect_of("chat/completions").stream_of(
        "chat/completions", b'{"error":{"message":"boom"}}'
    )
    assert stream is not None
    with pytest.raises(openai.APIError, match="boom"):
        chunks(stream)
    stream = dialect_of("messages").stream_of(
        "messages", b'{"error":{"type":"api_error","message":"boom"}}'
    )
    assert stream is not None
    with pytest.raises(anthropic.APIStatusError, match="boom"):
        message(stream)


CHUNK = b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}\n\n'
EVENTS = dialect_of("messages").stream_of(
    "messages",
    b'{"id":"m","type":"message","role":"assistant","model":"m","content":[{"type":"text","text":"a"}],"stop_reason":"end_turn","usage":{"input_tokens":1,"output_tokens":1}}',
)


def test_an_error_frame_is_raised_by_the_sdks() -> None:
    error = GatewayError(502, ErrorCode.STREAM_INCOMPLETE, "the upstream ended early")
    with pytest.raises(openai.APIError, match="ended early") as raised:
        chunks(CHUNK + DIALECTS["openai"].error_frame(error, "r"))
    assert raised.value.code == "stream_incomplete"
    assert EVENTS is not None
    with pytest.raises(anthropic.APIStatusError, match="ended early"):
        message(
            EVENTS.partition(b"event: message_delta")[0]
            + DIALECTS["anthropic"].error_frame(error, "r")
        )


def test_the_responses_error_frame_is_raised_too() -> None:
    error = GatewayError(502, ErrorCode.STREAM_INCOMPLETE, "the upstream ended early")
    frame = DIALECTS["openai"].error_frame(error, "r", "responses")
    with pytest.raises(openai.APIError, match="ended early"):
        list(openai_client(frame).responses.create(model="m", input="x", stream=True))


@pytest.mark.parametrize("before", [b"", b"id: 7\n"])
@pytest.mark.parametrize("mode", ["off", "comment", "chunk", "after_done"])
def test_openai_reads_on_over_keepalives_and_metadata(mode: str, before: bytes) -> None:
    dialect = DIALECTS["openai"]
    added = dialect.metadata(mode, PAYLOAD, RECORD)
    done = b"data: [DONE]\n\n"
    tail = done + added if mode == "after_done" else added + done
    read = chunks(before + CHUNK + dialect.keepalive() + CHUNK + dialect.keepalive() + tail)
    assert [c.choices[0].delta.content for c in read if c.choices] == ["a", "a"]
    extra = [c.streamgauge for c in read if not c.choices]
    assert extra == ([json.loads(PAYLOAD)] if mode == "chunk" else [])


@pytest.mark.parametrize("mode", ["off", "comment", "chunk", "event", "after_done"])
def test_anthropic_reads_on_over_keepalives_and_metadata(mode: str) -> None:
    dialect = DIALECTS["anthropic"]
    assert EVENTS is not None
    added = dialect.metadata(mode, PAYLOAD, RECORD)
    head, stop, end = EVENTS.partition(b"event: message_stop")
    tail = stop + end + added if mode == "after_done" else added + stop + end
    with anthropic_client(dialect.keepalive() + head + dialect.keepalive() + tail).messages.create(
        model="m", max_tokens=9, messages=[], stream=True
    ) as events:
        kinds = [getattr(event, "type", None) for event in events]
    assert kinds[0] == "message_start"
    assert "message_stop" in kinds


def test_metadata_in_each_mode() -> None:
    for dialect in DIALECTS.values():
        assert dialect.metadata("off", PAYLOAD, RECORD) == b""
        assert dialect.metadata("comment", PAYLOAD, RECORD) == b": streamgauge " + PAYLOAD + b"\n"
        for mode in ("event", "after_done"):
            named = b"event: streamgauge\ndata: " + PAYLOAD + b"\n\n"
            assert dialect.metadata(mode, PAYLOAD, RECORD) == named
    responses = ExchangeRecord(id="a" * 20, owner="o", started_at=1, endpoint="responses")
    assert DIALECTS["openai"].metadata("chunk", PAYLOAD, responses).startswith(b": streamgauge {")


def test_keepalives_are_one_comment_line_and_one_ping() -> None:
    assert DIALECTS["openai"].keepalive() == b": keep-alive\n"
    assert DIALECTS["anthropic"].keepalive() == b'event: ping\ndata: {"type":"ping"}\n\n'
