"""OpenAI chat and completions frames, regular and odd, as events."""

from __future__ import annotations

import json
from collections.abc import Sequence
from timeit import repeat
from typing import Any

import pytest

from streamgauge.core.dialects.openai.decode import ChatDecoder
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
)
from streamgauge.core.usage import Timings

PLAIN = (
    b'{"choices":[{"finish_reason":null,"index":0,"delta":{"content":" w181"}}],"created":1795226882,'
    b'"id":"chatcmpl-wGU0BSSqofjMktvVXuhieARzq6eObU3R","model":"chain-tiny",'
    b'"system_fingerprint":"b1-x","object":"chat.completion.chunk"}'
)


def decode(*payloads: bytes | dict[str, Any], event: bytes = b"") -> list[Event]:
    decoder, events = ChatDecoder(), list[Event]()
    for payload in payloads:
        raw = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        events.extend(decoder.decode(raw, event))
    return events


def delta(content: object, index: int | None = 0, **choice: object) -> dict[str, Any]:
    return {"choices": [{"index": index, "delta": content, **choice}]}


@pytest.mark.parametrize("marker", [b"[DONE]", b" [DONE]", b"[DONE] \t", b"\n[DONE]\n"])
def test_the_marker_is_done_with_white_space_round_it(marker: bytes) -> None:
    assert decode(marker) == [Ended()]


@pytest.mark.parametrize(
    "payload", [b"[done]", b"[DONE]x", b"data: [DONE]", b"[DONE][DONE]", b"DONE"]
)
def test_nothing_else_is_the_marker(payload: bytes) -> None:
    assert decode(payload) == [Noted("bad_json")]


def test_the_marker_as_text_is_text_and_frames_behind_it_are_still_read() -> None:
    assert decode(delta({"content": "[DONE]"}), b"[DONE]", delta({"content": "b"})) == [
        TextDelta("[DONE]"),
        Ended(),
        TextDelta("b"),
    ]


def test_a_role_frame_starts_the_answer_once_and_is_no_content() -> None:
    for content in ("", None):
        first = delta({"role": "assistant", "content": content})
        assert decode(first, first) == [Started()]


def test_the_model_is_named_when_it_changes() -> None:
    names = ("a", "a", None, "", "b", "a")
    frames: list[dict[str, Any]] = [{"model": name, "choices": []} for name in names]
    assert decode(*frames) == [ModelNamed("a"), ModelNamed("b"), ModelNamed("a")]


@pytest.mark.parametrize(
    ("content", "events"),
    [
        ({"content": "a"}, [TextDelta("a")]),
        ({"content": "a\0b"}, [TextDelta("a\0b")]),
        ({"content": ""}, []),
        ({"content": None}, []),
        ({"refusal": "no"}, [TextDelta("no", refusal=True)]),
        ({"reasoning_content": "r"}, [ReasoningDelta("r")]),
        ({"reasoning": "r"}, [ReasoningDelta("r")]),
        (
            {"reasoning": "r", "reasoning_content": "r", "content": "a"},
            [ReasoningDelta("r"), TextDelta("a")],
        ),
        ({"reasoning": "s", "reasoning_content": "r"}, [ReasoningDelta("r"), ReasoningDelta("s")]),
        ({"reasoning": "", "content": "a"}, [TextDelta("a")]),
        ({"reasoning_details": [{"type": "x"}]}, []),
        ({}, []),
        (None, []),
        ({"content": "\ud800x"}, [TextDelta("\ufffdx")]),
        (
            {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "r"}]}]},
            [ReasoningDelta("r")],
        ),
        (
            {"content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
            [TextDelta("ab")],
        ),
        ({"content": 7}, [Noted("type_mismatch")]),
        (
            {"content": {"text": "a"}, "reasoning": "r"},
            [ReasoningDelta("r"), Noted("type_mismatch")],
        ),
    ],
)
def test_deltas(content: object, events: list[Event]) -> None:
    assert decode(delta(content)) == events


@pytest.mark.parametrize(
    ("payload", "events"),
    [
        (b'{"choices":null}', []),
        (b'{"choices":[]}', []),
        (b'{"choices":[{"index":0}]}', []),
        (
            b'{"choices":[{"delta":{"content":"a"}},{"delta":{"content":"b"}}]}',
            [TextDelta("a"), TextDelta("b", 1)],
        ),
        (b'{"choices":[{"index":null,"delta":{"content":"a"}}]}', [TextDelta("a")]),
        (
            b'{"choices":[{"index":"x","delta":{"content":"a"}}]}',
            [TextDelta("a"), Noted("type_mismatch")],
        ),
        (b'{"choices":{"index":0}}', [Noted("type_mismatch")]),
        (b'{"choices":[7,{"delta":{"content":"a"}}]}', [TextDelta("a"), Noted("type_mismatch")]),
        (b'{"choices":[{"index":0,"delta":{"content":"\xff\xfe"}}]}', [TextDelta("\ufffd\ufffd")]),
        (
            b'{"choices":[{"index":0,"delta":{"content":"a\0"}}]}',
            [Noted("bad_json"), TextDelta("a\0")],
        ),
        (
            b'{"choices":[{"index":0,"delta":{"content":"a"},"logprobs":NaN}]}',
            [Noted("bad_json"), TextDelta("a")],
        ),
        (b'{"choices":[{"index":0,"text":"a","finish_reason":null}]}', [TextDelta("a")]),
        (b'{"choices":[{"index":0,"delta":{}}],"prompt_progress":{"total":9}}', []),
        (b'{"choices":[],"prompt_filter_results":[]}', []),
        (b'  {"choices":[{"index":0,"delta":{"content":"a"}}]}', [TextDelta("a")]),
        (b'\xef\xbb\xbf{"choices":[{"index":0,"delta":{"content":"a"}}]}', [TextDelta("a")]),
        (b"{}", []),
        (b"[]", [Noted("type_mismatch")]),
        (b"7", [Noted("type_mismatch")]),
        (b"null", [Noted("type_mismatch")]),
        (b" ", [Noted("bad_json")]),
        (b"{", [Noted("bad_json")]),
        (b"<html>", [Noted("bad_json")]),
        (b'{"x":' + b"[" * 20_000 + b"]" * 20_000 + b"}", [Noted("bad_json")]),
    ],
    ids=lambda value: repr(value[:40]) if isinstance(value, bytes) else "",
)
def test_odd_frames_are_read_as_far_as_they_can_be(payload: bytes, events: list[Event]) -> None:
    assert decode(payload) == events


@pytest.mark.parametrize(
    ("reason", "events"),
    [
        ("stop", [Finished("stop")]),
        ("eos", [Finished("eos")]),
        (None, []),
        ("", []),
        (3, [Noted("type_mismatch")]),
        ("x\n" * 300, [Finished("x" * 128)]),
    ],
)
def test_finish_reasons_are_told_as_sent(reason: object, events: list[Event]) -> None:
    assert decode(delta({}, finish_reason=reason)) == events


def test_every_choice_finishes_for_itself() -> None:
    frame = {
        "choices": [
            {"index": i, "delta": {"content": "x"}, "finish_reason": "stop"} for i in (1, 0)
        ]
    }
    assert decode(frame) == [
        TextDelta("x", 1),
        Finished("stop", 1),
        TextDelta("x"),
        Finished("stop"),
    ]


def call(
    index: object = 0, ident: object = None, name: object = None, arguments: object = ""
) -> dict[str, Any]:
    made = {"index": index, "id": ident, "function": {"name": name, "arguments": arguments}}
    return {key: value for key, value in made.items() if value is not None}


def calls(*members: dict[str, Any]) -> dict[str, Any]:
    return delta({"tool_calls": list(members)})


@pytest.mark.parametrize(
    ("frames", "events"),
    [
        (
            [
                calls(call(0, "a", "f")),
                calls(call(0, arguments="{")),
                calls(call(0, arguments="}")),
            ],
            [ToolCallStarted(0, "a", "f"), ToolCallDelta(0, "{"), ToolCallDelta(0, "}")],
        ),
        (
            [
                calls(call(0, "a", "f", "1"), call(1, "b", "g", "2")),
                calls(call(1, arguments="3"), call(0, arguments="4")),
            ],
            [
                ToolCallStarted(0, "a", "f"),
                ToolCallDelta(0, "1"),
                ToolCallStarted(1, "b", "g"),
                ToolCallDelta(1, "2"),
                ToolCallDelta(1, "3"),
                ToolCallDelta(0, "4"),
            ],
        ),
        (  # one index for every call
            [
                calls(call(0, "a", "f", "1")),
                calls(call(0, "b", "g", "2")),
                calls(call(0, arguments="3")),
            ],
            [
                ToolCallStarted(0, "a", "f"),
                ToolCallDelta(0, "1"),
                ToolCallStarted(1, "b", "g"),
                ToolCallDelta(1, "2"),
                ToolCallDelta(1, "3"),
            ],
        ),
        (  # no index: the id, then the latest call
            [
                calls(call(None, "a", "f", "1")),
                calls(call(None, "b", "g")),
                calls(call(None, "a", arguments="2")),
                calls(call(None, arguments="3")),
            ],
            [
                ToolCallStarted(0, "a", "f"),
                ToolCallDelta(0, "1"),
                ToolCallStarted(1, "b", "g"),
                ToolCallDelta(0, "2"),
                ToolCallDelta(1, "3"),
            ],
        ),
        (  # neither index nor id: the position
            [
                calls(call(None, None, "f", "1"), call(None, None, "g", "2")),
                calls(call(None, arguments="3"), call(None, arguments="4")),
            ],
            [
                ToolCallStarted(0, None, "f"),
                ToolCallDelta(0, "1"),
                ToolCallStarted(1, None, "g"),
                ToolCallDelta(1, "2"),
                ToolCallDelta(0, "3"),
                ToolCallDelta(1, "4"),
            ],
        ),
        (  # a name that comes late, and one that is repeated
            [calls(call(0, "a")), calls(call(0, "a", "f")), calls(call(0, "a", "f", "1"))],
            [ToolCallStarted(0, "a", None), ToolCallStarted(0, "a", "f"), ToolCallDelta(0, "1")],
        ),
        (  # arguments as an object
            [calls(call(0, "a", "f", {"n": [1, 2.5], "t": "é"}))],
            [ToolCallStarted(0, "a", "f"), ToolCallDelta(0, '{"n":[1,2.5],"t":"é"}')],
        ),
        (
            [
                delta({"function_call": {"name": "f", "arguments": "{"}}),
                delta({"function_call": {"arguments": "}"}}),
            ],
            [ToolCallStarted(0, None, "f"), ToolCallDelta(0, "{"), ToolCallDelta(0, "}")],
        ),
        ([delta({"tool_calls": []}), delta({"tool_calls": None})], []),
        ([delta({"tool_calls": [{"index": None}]})], [ToolCallStarted(0, None, None)]),
        ([delta({"tool_calls": "x"})], [Noted("type_mismatch")]),
    ],
)
def test_tool_calls_are_told_apart(frames: list[dict[str, Any]], events: list[Event]) -> None:
    assert decode(*frames) == events


def test_choices_number_their_calls_apart() -> None:
    second = {"choices": [{"index": 1, "delta": {"tool_calls": [call(0, "b", "g", "1")]}}]}
    assert decode(calls(call(0, "a", "f")), second) == [
        ToolCallStarted(0, "a", "f"),
        ToolCallStarted(0, "b", "g", 1),
        ToolCallDelta(0, "1", 1),
    ]


@pytest.mark.parametrize(
    ("payload", "event", "failed"),
    [
        (b'{"error":"boom"}', b"", Failed("boom")),
        (
            b'{"error":{"message":"m","type":"server_error","code":"c"}}',
            b"",
            Failed("m", "server_error", "c", 500),
        ),
        (
            b'{"error":{"code":503,"message":"Loading model","type":"unavailable_error"}}',
            b"",
            Failed("Loading model", "unavailable_error", "503", 503),
        ),
        (
            b'{"object":"error","message":"m","type":"BadRequestError","code":400}',
            b"",
            Failed("m", "BadRequestError", "400", 400),
        ),
        (
            b'{"type":"error","error":{"type":"overloaded_error","message":"m"}}',
            b"",
            Failed("m", "overloaded_error", None, 529),
        ),
        (b'{"message":"boom"}', b"error", Failed("boom")),
        (b"boom", b"error", Failed("boom")),
        (b'"boom"', b"error", Failed("boom")),
        (
            b'{"error":{"message":"m"},"choices":[{"delta":{"content":""},"finish_reason":"error"}]}',
            b"",
            Failed("m"),
        ),
        (
            b'{"choices":[{"delta":{},"finish_reason":"error","error":{"message":"m","code":502}}]}',
            b"",
            Failed("m", None, "502", 502),
        ),
        (b'{"detail":"boom"}', b"", Failed("boom")),
        (b'{"detail":[{"msg":"a"},{"msg":"b"}]}', b"", Failed("a; b")),
        (b'{"error":{}}', b"", Failed("the upstream reported an error without a message")),
        (b'{"choices":[],"error":{"message":"m","status":429}}', b"", Failed("m", None, None, 429)),
    ],
)
def test_an_error_in_any_shape_is_a_failure(payload: bytes, event: bytes, failed: Failed) -> None:
    assert [e for e in decode(payload, event=event) if isinstance(e, Failed)] == [failed]


@pytest.mark.parametrize("more", [b'"usage":null', b'"choices":[]', b'"status":"queued"'])
def test_a_detail_of_something_else_is_no_failure(more: bytes) -> None:
    assert not [e for e in decode(b'{"detail":"x",%b}' % more) if isinstance(e, Failed)]
    assert not [e for e in decode(b'{"detail":""}') if isinstance(e, Failed)]


def test_a_finish_with_error_fails_without_an_object() -> None:
    finished, failed = decode(delta({"content": ""}, finish_reason="error"))
    assert finished == Finished("error")
    assert isinstance(failed, Failed)


@pytest.mark.parametrize("value", ["null", "false", '""'])
def test_an_error_key_that_says_none_is_no_failure(value: str) -> None:
    payload = f'{{"choices":[{{"delta":{{"content":"a"}}}}],"error":{value}}}'.encode()
    assert decode(payload) == [TextDelta("a")]


def test_an_error_message_shows_no_key_and_no_endless_text() -> None:
    (failed,) = decode(
        {"error": "bad sk-abcdefgh12345678 Bearer abcdefghijk https://u:pw@h/ \0" + "x" * 9000}
    )
    assert isinstance(failed, Failed)
    assert "abcdefgh" not in failed.message
    assert "pw" not in failed.message
    assert "\0" not in failed.message
    assert 1900 < len(failed.message) <= 2000


@pytest.mark.parametrize(
    ("timings", "events"),
    [
        (
            '{"prompt_n":1,"predicted_ms":2}',
            [TimingsReported(Timings(prompt_n=1, predicted_ms=2.0))],
        ),
        ('{"prompt_n":null,"cache_n":3,"draft_n":9}', [TimingsReported(Timings(cache_n=3))]),
        (
            '{"prompt_n":-1,"cache_n":3}',
            [TimingsReported(Timings(cache_n=3)), Noted("type_mismatch")],
        ),
        (
            '{"prompt_n":true,"cache_n":3}',
            [TimingsReported(Timings(cache_n=3)), Noted("type_mismatch")],
        ),
        (
            '{"prompt_ms":1e400,"cache_n":3}',
            [TimingsReported(Timings(cache_n=3)), Noted("type_mismatch")],
        ),
        ('{"predicted_per_second":-0.5}', [Noted("type_mismatch")]),
        ('{"prompt_ms":"7"}', [Noted("type_mismatch")]),
        ("[]", [Noted("type_mismatch")]),
        ("7", [Noted("type_mismatch")]),
        ("{}", []),
        ("null", []),
    ],
)
def test_timings_are_believed_number_by_number(timings: str, events: Sequence[Event]) -> None:
    typed = f'{{"choices":[],"timings":{timings}}}'.encode()
    loose = f'{{"choices":[],"model":7,"timings":{timings}}}'.encode()
    assert decode(typed) == list(events)
    assert [e for e in decode(loose) if isinstance(e, TimingsReported)] == [
        e for e in events if isinstance(e, TimingsReported)
    ]


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"<html>", b'{"a":NaN}', b"null", b'{"a":1} x'])
def test_what_is_no_json_object_is_no_answer(body: bytes) -> None:
    assert ChatDecoder().read_answer(body) is None


def test_answers_that_are_no_stream() -> None:
    embedding = b'{"object":"list","data":[{"embedding":[0.1,0.2]}],"model":"e","usage":{"prompt_tokens":8,"total_tokens":8}}'
    model, usage, ended = ChatDecoder().read_answer(embedding) or ()
    assert (model, ended) == (ModelNamed("e"), Ended())
    assert "output=None" in repr(usage)
    failed, end = ChatDecoder().read_answer(b'{"error":{"message":"m","code":429}}') or ()
    assert (failed, end) == (Failed("m", None, "429", 429), Ended())
    native = ChatDecoder().read_answer(
        b'{"content":"a","stop":true,"stop_type":"limit","tokens_predicted":1}'
    )
    assert native is not None
    assert native[0] == TextDelta("a")
    assert native[-1] == Ended()
    assert native.count(Ended()) == 1


def test_a_plain_delta_costs_about_a_microsecond() -> None:
    decoder = ChatDecoder()
    decoder.decode(PLAIN, b"")
    best = min(repeat(lambda: decoder.decode(PLAIN, b""), number=2000, repeat=5)) / 2000
    assert best < 5 * 1.5e-6  # five times the figure: the machine may be busy


@pytest.mark.parametrize("ids", [("c", "c"), (None, None), ("", "")])
@pytest.mark.parametrize("stated", [{}, {"index": 0}])
@pytest.mark.parametrize("odd", [{}, {"refusal": 7}], ids=["typed", "loose"])
def test_each_call_of_a_whole_message_is_one_of_its_own(
    ids: tuple[str | None, ...], stated: dict[str, int], odd: dict[str, int]
) -> None:
    functions = [{"name": "f", "arguments": '{"a":1}'}, {"name": "g", "arguments": '{"b":2}'}]
    calls = [{**stated, "id": i, "function": f} for i, f in zip(ids, functions, strict=True)]
    answer = {"choices": [{"message": {"tool_calls": calls, **odd}}], "usage": {}}
    events = ChatDecoder().read_answer(json.dumps(answer).encode()) or ()
    assert [e for e in events if isinstance(e, ToolCallStarted | ToolCallDelta)] == [
        ToolCallStarted(0, ids[0] or None, "f"),
        ToolCallDelta(0, '{"a":1}'),
        ToolCallStarted(1, ids[1] or None, "g"),
        ToolCallDelta(1, '{"b":2}'),
    ]
