"""A whole answer as the stream that says the same: every frame of it, member by member (F34)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from streamgauge.core.dialects.anthropic.streams import messages_stream
from streamgauge.core.dialects.anthropic.usage import UNSTATED
from streamgauge.core.dialects.codecs import UPSTREAMS
from streamgauge.core.dialects.openai.streams import chat_stream
from streamgauge.core.dialects.registry import DIALECTS, dialect_of
from streamgauge.core.events import Ended, ReasoningDelta, TextDelta, ThoughtSigned

HEAD = {
    "id": "x",
    "created": 3,
    "model": "m",
    "system_fingerprint": "f",
    "service_tier": "flex",
}
CHUNK = {**HEAD, "object": "chat.completion.chunk"}
DETAILS = "reasoning_details"
LOGPROBS = {"content": [{"token": "a"}]}


def payloads(stream: bytes | None) -> list[Any]:
    assert stream is not None
    assert stream.endswith(b"\n\n")
    lines = [line[6:] for line in stream.split(b"\n") if line.startswith(b"data: ")]
    return [line.decode() if line == b"[DONE]" else json.loads(line) for line in lines]


def named(stream: bytes | None) -> list[Any]:
    """Return the payloads of a stream whose events are named by their type."""
    told = payloads(stream)
    assert stream is not None
    names = [line[7:] for line in stream.decode().split("\n") if line.startswith("event: ")]
    assert names == [event["type"] for event in told]
    return told


def piece(index: object, delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    return {"index": index, "delta": delta, "finish_reason": finish}


def test_a_chat_answer_as_a_stream() -> None:
    message: dict[str, Any] = {
        "role": "tool",
        "content": "a",
        "reasoning_content": "r",
        "reasoning": "s",
        "reasoning_details": [{"type": "reasoning.text", "text": "r", "signature": "S"}],
        "images": [{"type": "image_url"}],
        "annotations": [{"type": "url_citation"}],
        "refusal": "no",
        "function_call": {"name": "old"},
        "tool_calls": [{"id": "t", "index": 9}, "no call", {"id": "u"}],
    }
    answer = {
        **HEAD,
        "object": "chat.completion",
        "choices": [
            {"index": 4, "message": message, "logprobs": LOGPROBS, "finish_reason": "length"},
            {"message": {"content": "b"}, "finish_reason": "stop"},
        ],
        "usage": {"prompt_tokens": 1},
        "timings": {"predicted_n": 2},
        "other": 1,
    }
    pieces = [
        piece(4, {"role": "tool", "content": ""}),
        piece(4, {key: message[key] for key in ("reasoning_content", "reasoning", DETAILS)}),
        {**piece(4, {"content": "a"}), "logprobs": LOGPROBS},
        piece(4, {"images": [{"type": "image_url"}]}),
        piece(4, {"annotations": [{"type": "url_citation"}]}),
        piece(4, {"refusal": "no"}),
        piece(4, {"function_call": {"name": "old"}}),
        piece(4, {"tool_calls": [{"id": "t", "index": 0}, {"id": "u", "index": 2}]}),
        piece(4, {}, "length"),
        piece(1, {"role": "assistant", "content": ""}),
        piece(1, {"content": "b"}),
        piece(1, {}, "stop"),
    ]
    assert payloads(chat_stream(json.dumps(answer).encode())) == [
        *({**CHUNK, "choices": [each]} for each in pieces),
        {**CHUNK, "choices": [], "usage": {"prompt_tokens": 1}, "timings": {"predicted_n": 2}},
        "[DONE]",
    ]


@pytest.mark.parametrize(
    "choice",
    [
        {},
        {"message": 7},
        {"message": {"role": "", "content": "", "tool_calls": []}},
        {"message": {"tool_calls": 7}},
    ],
)
def test_a_chat_answer_that_says_little_is_a_short_stream(choice: dict[str, Any]) -> None:
    head = {"id": "chatcmpl-0", "created": 0, "model": "", "object": "chat.completion.chunk"}
    answer = {"choices": [choice], "usage": None}
    assert payloads(chat_stream(json.dumps(answer).encode())) == [
        {**head, "choices": [piece(0, {"role": "assistant", "content": ""})]},
        {**head, "choices": [piece(0, {})]},
        "[DONE]",
    ]


@pytest.mark.parametrize("stated", [None, -1, "1", True, 1.0])
def test_a_choice_without_a_usable_number_has_that_of_its_place(stated: object) -> None:
    choices = [{"index": stated, "message": {"content": text}} for text in ("a", "b")]
    body = json.dumps({"choices": choices}).encode()
    told = [chunk["choices"][0] for chunk in payloads(chat_stream(body))[:-1]]
    assert [(c["index"], c["delta"].get("content")) for c in told if c["delta"].get("content")] == [
        (0, "a"),
        (1, "b"),
    ]
    texts = [{"index": stated, "text": text} for text in ("a", "b")]
    stream = DIALECTS["openai"].stream_of("completions", json.dumps({"choices": texts}).encode())
    assert [chunk["choices"][0]["index"] for chunk in payloads(stream)[:-1]] == [0, 0, 1, 1]


@pytest.mark.parametrize("endpoint", ["chat/completions", "completions"])
def test_what_else_a_choice_says_stands_beside_its_finish(endpoint: str) -> None:
    more = {
        "stop_reason": "END",
        "native_finish_reason": "x",
        "error": {"message": "slow", "code": 429},
    }
    said = {"text": "a"} if endpoint == "completions" else {"message": {"content": "a"}}
    choice = {"index": 0, **said, "delta": {"content": "b"}, "finish_reason": "error", **more}
    body = json.dumps({"choices": [choice]}).encode()
    *before, last = (
        c["choices"][0] for c in payloads(dialect_of(endpoint).stream_of(endpoint, body))[:-1]
    )
    assert {key: last[key] for key in more} == more
    assert last.get("delta", {}) == {}
    assert not any(key in each for each in before for key in more)


def test_a_spoken_answer_that_is_written_too_is_told_once() -> None:
    message = {"content": "hi", "audio": {"data": "AA==", "transcript": "hi"}}
    body = json.dumps({"choices": [{"message": message, "finish_reason": "stop"}]}).encode()
    stream = UPSTREAMS["openai"].stream_of(body)
    assert piece(0, message) in [chunk["choices"][0] for chunk in payloads(stream)[:-1]]
    decoder = UPSTREAMS["openai"].decoder()
    events = [
        e for told in payloads(stream)[:-1] for e in decoder.decode(json.dumps(told).encode(), b"")
    ]
    assert [e for e in events if isinstance(e, TextDelta)] == [TextDelta("hi")]


@pytest.mark.parametrize(
    "body", [b"{", b"7", b"{}", b'{"choices":{}}', b'{"choices":[{},7]}', b'{"error":null}']
)
def test_what_is_no_chat_answer_is_no_stream(body: bytes) -> None:
    assert chat_stream(body) is None


def test_an_error_object_is_the_error_frame() -> None:
    body = b'{"error":{"message":"no"},"choices":[]}'
    assert chat_stream(body) == b'data: {"error":{"message":"no"}}\n\n'
    assert messages_stream(body) == (
        b'event: error\ndata: {"type":"error","error":{"message":"no"}}\n\n'
    )


# --- messages ------------------------------------------------------------------------------------


def test_a_message_as_a_stream() -> None:
    cited = {"type": "text", "text": "a", "citations": [{"c": 1}, {"c": 2}]}
    content = [
        cited,
        {"type": "text", "text": "b", "citations": None},
        {"type": "text"},
        {"type": "thinking", "thinking": "r", "signature": "S"},
        {"type": "thinking"},
        {"type": "tool_use", "id": "t", "name": "ls", "input": {"p": "."}},
        {"type": "server_tool_use", "id": "u"},
        {"type": "redacted_thinking", "data": "x"},
        {"no": "type"},
    ]
    answer = {
        "id": "msg",
        "type": "message",
        "content": content,
        "stop_reason": "tool_use",
        "stop_sequence": "#",
        "usage": {"input_tokens": 9, "output_tokens": 31},
    }
    blocks: list[tuple[dict[str, Any], list[dict[str, Any]]]] = [
        (
            {"type": "text", "text": "", "citations": []},
            [
                {"type": "citations_delta", "citation": {"c": 1}},
                {"type": "citations_delta", "citation": {"c": 2}},
                {"type": "text_delta", "text": "a"},
            ],
        ),
        (
            {"type": "text", "text": "", "citations": None},
            [{"type": "text_delta", "text": "b"}],
        ),
        ({"type": "text", "text": ""}, [{"type": "text_delta", "text": ""}]),
        (
            {"type": "thinking", "thinking": "", "signature": ""},
            [
                {"type": "thinking_delta", "thinking": "r"},
                {"type": "signature_delta", "signature": "S"},
            ],
        ),
        (
            {"type": "thinking", "thinking": "", "signature": ""},
            [
                {"type": "thinking_delta", "thinking": ""},
                {"type": "signature_delta", "signature": ""},
            ],
        ),
        (
            {"type": "tool_use", "id": "t", "name": "ls", "input": {}},
            [{"type": "input_json_delta", "partial_json": '{"p":"."}'}],
        ),
        (
            {"type": "server_tool_use", "id": "u", "input": {}},
            [{"type": "input_json_delta", "partial_json": "{}"}],
        ),
        ({"type": "redacted_thinking", "data": "x"}, []),
        ({"no": "type"}, []),
    ]
    expected: list[dict[str, Any]] = [
        {
            "type": "message_start",
            "message": {
                **answer,
                "content": [],
                "stop_reason": None,
                "stop_sequence": None,
                "usage": {"input_tokens": 9, "output_tokens": 0},
            },
        }
    ]
    for index, (start, deltas) in enumerate(blocks):
        expected += [
            {"type": "content_block_start", "index": index, "content_block": start},
            *({"type": "content_block_delta", "index": index, "delta": d} for d in deltas),
            {"type": "content_block_stop", "index": index},
        ]
    expected += [
        {
            "type": "message_delta",
            "delta": {"stop_reason": "tool_use", "stop_sequence": "#"},
            "usage": {"input_tokens": 9, "output_tokens": 31},
        },
        {"type": "message_stop"},
    ]
    assert named(messages_stream(json.dumps(answer).encode())) == expected


@pytest.mark.parametrize("usage", [None, 7, []])
def test_a_message_without_usage_has_the_counts_that_clients_insist_on(usage: object) -> None:
    begin, end, stop = named(messages_stream(json.dumps({"content": [], "usage": usage}).encode()))
    assert begin["message"]["usage"] == UNSTATED
    assert end == {
        "type": "message_delta",
        "delta": {"stop_reason": None, "stop_sequence": None},
        "usage": UNSTATED,
    }
    assert stop == {"type": "message_stop"}


@pytest.mark.parametrize(
    "body", [b"{", b"7", b"{}", b'{"content":{}}', b'{"content":[{},7]}', b'{"error":null}']
)
def test_what_is_no_message_is_no_stream(body: bytes) -> None:
    assert messages_stream(body) is None


# --- which of them an endpoint has ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("endpoint", "frame", "told"),
    [
        ("chat/completions", b'{"choices":[{"delta":{"content":"a"}}]}', TextDelta("a")),
        ("completions", b'{"choices":[{"text":"a"}]}', TextDelta("a")),
        ("completions", b'{"choices":[{},{"text":"a"}]}', TextDelta("a", 1)),
        ("responses", b'{"type":"response.output_text.delta","delta":"a"}', TextDelta("a")),
        ("messages", b'{"type":"content_block_delta","delta":{"text":"a"}}', TextDelta("a")),
        (
            "messages",
            b'{"type":"content_block_delta","delta":{"thinking":"a"}}',
            ReasoningDelta("a"),
        ),
    ],
)
def test_each_endpoint_has_its_decoder(endpoint: str, frame: bytes, told: object) -> None:
    decoder = dialect_of(endpoint).decoder(endpoint, "openai")
    assert tuple(decoder.decode(frame, b"")) == (told,)


@pytest.mark.parametrize(
    ("endpoint", "body"),
    [
        ("chat/completions", b'{"choices":[{"message":{"content":"a"}}]}'),
        ("completions", b'{"choices":[{"text":"a"}]}'),
        (
            "responses",
            b'{"output":[{"type":"message","content":[{"type":"output_text","text":"a"}]}]}',
        ),
        ("messages", b'{"content":[{"type":"text","text":"a"}]}'),
    ],
)
def test_each_endpoint_reads_its_answers(endpoint: str, body: bytes) -> None:
    events = dialect_of(endpoint).read_answer(endpoint, "openai", body)
    assert events is not None
    assert tuple(events) == (TextDelta("a"), Ended())


def test_embeddings_have_no_stream() -> None:
    assert DIALECTS["openai"].stream_of("embeddings", b'{"choices":[]}') is None


def test_reasoning_in_several_words_is_read_once_and_keeps_its_signature() -> None:
    details = [{"type": "reasoning.text", "text": "hm", "signature": "S"}]
    message = {"content": "a", "reasoning_content": "hm", "reasoning": "hm", DETAILS: details}
    stream = chat_stream(json.dumps({"choices": [{"message": message}]}).encode())
    decoder = UPSTREAMS["openai"].decoder()
    told = [json.dumps(each).encode() for each in payloads(stream)[:-1]]
    events = [event for payload in told for event in decoder.decode(payload, b"")]
    said = [e for e in events if isinstance(e, ReasoningDelta | ThoughtSigned | TextDelta)]
    assert said == [ReasoningDelta("hm"), ThoughtSigned("S"), TextDelta("a")]
