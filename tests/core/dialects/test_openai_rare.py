"""Rare members of OpenAI frames and answers, one rule a test."""

from __future__ import annotations

import json
from typing import Any

import pytest

from streamgauge.core.dialects.openai.decode import ChatDecoder
from streamgauge.core.dialects.openai.streams import completion_stream
from streamgauge.core.events import (
    Ended,
    Event,
    Failed,
    Finished,
    Noted,
    ReasoningDelta,
    TextDelta,
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


# --- llama.cpp's own completion ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("members", "told"),
    [
        ({}, []),
        ({"content": "a"}, [TextDelta("a")]),
        ({"content": "a", "index": 2}, [TextDelta("a", 2)]),
        ({"content": "a", "index": True}, [TextDelta("a", 0)]),
        ({"content": 7}, []),
        ({"content": "\ud800"}, [TextDelta("\ufffd")]),
        ({"tokens_predicted": 4}, [UsageReported(TokenUsage(None, 4), running=True)]),
        ({"tokens_evaluated": 3}, [UsageReported(TokenUsage(3), running=True)]),
        ({"tokens_evaluated": -1}, [Noted("usage_refused")]),
        ({"tokens_predicted": "4"}, [Noted("usage_refused")]),
        (
            {"tokens_evaluated": 0, "tokens_predicted": 4},
            [UsageReported(TokenUsage(0, 4), running=True), Noted("suspect_usage")],
        ),
        ({"stop_type": "eos"}, []),
    ],
)
def test_a_native_frame_is_read_member_by_member(
    members: dict[str, Any], told: list[Event]
) -> None:
    assert decode({"stop": False, **members}) == told


@pytest.mark.parametrize(
    ("members", "told"),
    [
        ({}, []),
        ({"stop_type": "eos"}, [Finished("eos")]),
        ({"stop_type": "none"}, []),
        ({"stop_type": ""}, []),
        ({"stop_type": 7}, []),
        ({"stop_type": "li\0mit"}, [Finished("limit")]),
        ({"stop_type": "eos", "index": 1}, [Finished("eos", 1)]),
        (
            {"tokens_evaluated": 3, "tokens_predicted": 4},
            [UsageReported(TokenUsage(3, 4), running=False)],
        ),
    ],
)
def test_the_last_native_frame_says_its_counts_and_its_reason_and_ends(
    members: dict[str, Any], told: list[Event]
) -> None:
    assert decode({"stop": True, **members}) == [*told, Ended()]


def test_a_frame_with_choices_is_never_native() -> None:
    assert decode({"stop": True, "choices": [], "content": "a"}) == []
    odd = decode({"stop": True, "choices": 7, "content": "a"})
    assert not any(isinstance(event, TextDelta | Ended) for event in odd)


# --- chat ----------------------------------------------------------------------------------------


def test_a_model_name_of_nothing_printable_names_no_model() -> None:
    assert decode({"model": "\0", "choices": []}) == []


def test_of_two_errors_in_a_frame_the_first_stands() -> None:
    choice = {"index": 0, "error": {"message": "a"}, "delta": {}}
    assert decode({"choices": [choice, choice], "error": {"message": "b"}}) == [Failed("a")]


def test_an_error_with_words_replaces_a_finish_with_error() -> None:
    choice = {"index": 0, "finish_reason": "error", "delta": {}}
    told = decode({"choices": [choice], "error": {"message": "b"}})
    assert told == [Finished("error"), Failed("b")]
    several = decode({"choices": [choice, choice], "error": {"message": "b"}})
    assert several == [Finished("error"), Finished("error"), Failed("b")]
    assert decode({"choices": [choice]}) == [
        Finished("error"),
        Failed("the upstream finished a choice with an error"),
    ]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"a": [1]}, '{"a":[1]}'),
        ([1], "[1]"),
        ("{", "{"),
        ("\ud800", "\ufffd"),
    ],
)
def test_arguments_of_a_frame_read_loosely_are_text(arguments: object, told: str) -> None:
    call = {"index": 0, "id": "x", "function": {"name": "f", "arguments": arguments}}
    # A number for a role is what typed decoding refuses.
    events = decode({"choices": [{"delta": {"role": 1, "tool_calls": [call]}}]})
    assert events == [ToolCallStarted(0, "x", "f"), ToolCallDelta(0, told), Noted("type_mismatch")]


def test_a_call_without_a_function_is_a_call_without_a_name() -> None:
    events = decode({"choices": [{"delta": {"role": 1, "tool_calls": [{"index": 0, "id": "x"}]}}]})
    assert events == [ToolCallStarted(0, "x", None), Noted("type_mismatch")]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], [TextDelta("ab")]),
        ([{"type": "thinking", "thinking": "r"}], [ReasoningDelta("r")]),
        (
            [{"type": "thinking", "thinking": [{"text": "r"}, {"text": "s"}]}, {"text": "a"}],
            [ReasoningDelta("rs"), TextDelta("a")],
        ),
        ([{"type": "image"}], []),
        ([], []),
    ],
)
def test_content_in_parts_is_text_and_thinking(content: object, told: list[Event]) -> None:
    assert decode({"choices": [{"delta": {"content": content}}]}) == told


# --- answers as streams --------------------------------------------------------------------------


def test_a_completion_without_text_still_finishes() -> None:
    (only, done) = payloads(completion_stream(b'{"choices":[{"finish_reason":"stop"}]}'))
    assert only == {
        "id": "chatcmpl-0",
        "created": 0,
        "model": "",
        "object": "text_completion",
        "choices": [{"index": 0, "text": "", "logprobs": None, "finish_reason": "stop"}],
    }
    assert done == "[DONE]"


def test_a_completion_as_a_stream() -> None:
    body = {
        "id": "x",
        "created": 3,
        "model": "m",
        "system_fingerprint": "f",
        "choices": [
            {"index": 4, "text": "a", "logprobs": {"tokens": []}, "finish_reason": "length"},
            {"text": "b"},
        ],
        "usage": {"prompt_tokens": 1},
        "timings": {"predicted_n": 2},
    }
    head = {
        "id": "x",
        "created": 3,
        "model": "m",
        "system_fingerprint": "f",
        "object": "text_completion",
    }
    choices = [
        {"index": 4, "text": "a", "logprobs": {"tokens": []}, "finish_reason": None},
        {"index": 4, "text": "", "logprobs": None, "finish_reason": "length"},
        {"index": 1, "text": "b", "logprobs": None, "finish_reason": None},
        {"index": 1, "text": "", "logprobs": None, "finish_reason": None},
    ]
    assert payloads(completion_stream(json.dumps(body).encode())) == [
        *({**head, "choices": [choice]} for choice in choices),
        {**head, "choices": [], "usage": {"prompt_tokens": 1}, "timings": {"predicted_n": 2}},
        "[DONE]",
    ]


# --- read loosely: typed decoding refuses a number for a role ------------------------------------


@pytest.mark.parametrize("odd", [False, True])
def test_the_input_of_a_custom_tool_is_free_text(odd: bool) -> None:
    begun = {"index": 0, "id": "c", "type": "custom", "custom": {"name": "patch", "input": ""}}
    pieces = [{"index": 0, "custom": {"input": piece}} for piece in ("*** Be", "gin")]
    more = {"role": 1} if odd else {}
    frames = [{"choices": [{"delta": {"tool_calls": [c], **more}}]} for c in (begun, *pieces)]
    events = [event for event in decode(*frames) if not isinstance(event, Noted)]
    assert events == [
        ToolCallStarted(0, "c", "patch"),
        ToolCallDelta(0, "*** Be", free=True),
        ToolCallDelta(0, "gin", free=True),
    ]


def test_a_custom_tool_that_is_none_is_a_mismatch() -> None:
    (_, noted) = decode({"choices": [{"delta": {"tool_calls": [{"custom": 7}]}}]})
    (_, named) = decode({"choices": [{"delta": {"tool_calls": [{"custom": {"name": 7}}]}}]})
    assert (noted, named) == (MISMATCH, MISMATCH)


ODD = {"delta": {"role": 1}}
COUNTS = {"prompt_tokens": 3, "completion_tokens": 2}
MISMATCH = Noted("type_mismatch")


@pytest.mark.parametrize("choices", [[ODD], [{"delta": {}}]])
@pytest.mark.parametrize(
    ("members", "told"),
    [
        ({"x_groq": {"usage": COUNTS}}, UsageReported(TokenUsage(3, 2), running=True)),
        ({"x_groq": {"id": "r", "error": "over capacity"}}, Failed("over capacity")),
        ({"usage": COUNTS}, UsageReported(TokenUsage(3, 2), running=True)),
        ({"service_tier": "flex"}, UsageReported(TokenUsage(), final=False, service_tier="flex")),
        ({"timings": {"predicted_n": 4}}, TimingsReported(Timings(predicted_n=4))),
        ({"error": {"message": "no"}}, Failed("no")),
    ],
)
def test_what_stands_beside_the_choices_is_read_either_way(
    choices: list[Any], members: dict[str, Any], told: Event
) -> None:
    odd = [MISMATCH] if choices == [ODD] else []
    assert decode({"choices": choices, **members}) == [told, *odd]


@pytest.mark.parametrize("odd", [False, True])
@pytest.mark.parametrize(
    ("choices", "running", "alone"),
    [([], False, True), ([{"finish_reason": "stop"}], False, False), ([{}], True, False)],
)
def test_usage_runs_beside_unfinished_choices_and_stands_alone_without_any(
    odd: bool, choices: list[Any], running: bool, alone: bool
) -> None:
    finish = [Finished("stop")] if choices and choices[0] else []
    frame = {"choices": choices, "usage": COUNTS, "model": 7 if odd else None}
    reported = UsageReported(TokenUsage(3, 2), running=running, alone=alone)
    assert decode(frame) == [*finish, reported, *([MISMATCH] if odd else [])]


def test_usage_without_a_list_of_choices_neither_runs_nor_stands_alone() -> None:
    reported = UsageReported(TokenUsage(3, 2))
    assert decode({"usage": COUNTS}) == [reported]
    assert decode({"choices": None, "usage": COUNTS}) == [reported]
    assert decode({"choices": 7, "usage": COUNTS}) == [reported, MISMATCH]


@pytest.mark.parametrize("odd", [False, True])
def test_each_choice_has_the_index_stated_or_its_position(odd: bool) -> None:
    choices: list[dict[str, Any]] = [
        {"index": 5, "delta": {"content": "a"}},
        {"delta": {"content": "b", "refusal": "c"}},
        {"index": None, "text": "d"},
        {"index": 7, "text": "e"},
    ]
    events = decode({"choices": choices, "model": 7 if odd else None})
    assert [(e.text, e.choice) for e in events if isinstance(e, TextDelta)] == [
        ("a", 5),
        ("b", 1),
        ("c", 1),
        ("d", 2),
        ("e", 7),
    ]
    assert events[5:] == ([MISMATCH] if odd else [])


@pytest.mark.parametrize("odd", [False, True])
def test_reasoning_stands_before_text_and_the_same_twice_is_one(odd: bool) -> None:
    def read(**delta: str) -> list[Event]:
        found = decode({"choices": [{"index": 3, "delta": delta}], "model": 7 if odd else None})
        return found[:-1] if odd else found

    assert read(content="a", reasoning="r") == [ReasoningDelta("r", 3), TextDelta("a", 3)]
    assert read(reasoning_content="r", reasoning="r") == [ReasoningDelta("r", 3)]
    assert read(reasoning_content="r", reasoning="s") == [
        ReasoningDelta("r", 3),
        ReasoningDelta("s", 3),
    ]


@pytest.mark.parametrize("odd", [False, True])
@pytest.mark.parametrize(("stop", "told"), [("END", "END"), (7, None), (None, None)])
def test_the_text_that_stopped_vllm_is_read_either_way(
    odd: bool, stop: object, told: str | None
) -> None:
    choice = {"delta": {"content": "a"}, "finish_reason": "stop", "stop_reason": stop}
    frame: dict[str, Any] = {"choices": [choice | ODD if odd else choice]}
    (finished,) = (each for each in decode(frame) if isinstance(each, Finished))
    assert finished.stop_sequence == told


@pytest.mark.parametrize("odd", [False, True])
def test_a_function_call_of_the_old_form_is_one_call(odd: bool) -> None:
    first = {"function_call": {"name": "f", "arguments": "{"}}
    second = {"function_call": {"arguments": "}"}}
    frames = [
        {"choices": [{"index": 2, "delta": d}], "model": 7 if odd else None}
        for d in (first, second)
    ]
    told = [e for e in decode(*frames) if e != MISMATCH]
    assert told == [
        ToolCallStarted(0, None, "f", 2),
        ToolCallDelta(0, "{", 2),
        ToolCallDelta(0, "}", 2),
    ]


@pytest.mark.parametrize(
    ("usage", "told"),
    [
        ({"input_tokens": 3}, TokenUsage(3)),
        ({"output_tokens": 2}, TokenUsage(None, 2)),
        ({"input_tokens": 3, "prompt_tokens": 4}, TokenUsage(4)),
        ({"prompt_tokens": 4, "prompt_cache_hit_tokens": 3}, TokenUsage(4, None, 3)),
        (
            {
                "prompt_tokens": 4,
                "prompt_cache_hit_tokens": 3,
                "prompt_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 1},
            },
            TokenUsage(4, None, 0, 1),
        ),
        (
            {"completion_tokens": 4, "completion_tokens_details": {"reasoning_tokens": 3}},
            TokenUsage(None, 4, None, None, 3),
        ),
        (
            {
                "input_tokens": 4,
                "output_tokens": 5,
                "input_tokens_details": {"cached_tokens": 1, "cache_write_tokens": 2},
                "output_tokens_details": {"reasoning_tokens": 3},
                "total_tokens": 9,
            },
            TokenUsage(4, 5, 1, 2, 3),
        ),
        ({"prompt_tokens": 4, "prompt_tokens_details": 7}, TokenUsage(4)),
    ],
)
def test_both_forms_of_usage_are_read(usage: dict[str, Any], told: TokenUsage) -> None:
    assert decode({"choices": [], "usage": usage}) == [UsageReported(told, alone=True)]


@pytest.mark.parametrize(
    ("usage", "mismatch"),
    [
        ({"prompt_tokens": 4, "completion_tokens": 2, "total_tokens": 6}, False),
        ({"prompt_tokens": 4, "completion_tokens": 2, "total_tokens": 7}, True),
        ({"prompt_tokens": 4, "total_tokens": 4}, False),
        ({"prompt_tokens": 4, "total_tokens": 5}, True),
        ({"completion_tokens": 4, "total_tokens": 5}, False),
        ({"input_tokens": 4, "output_tokens": 2, "total_tokens": 7}, True),
    ],
)
def test_a_total_that_is_not_the_sum_is_flagged(usage: dict[str, Any], mismatch: bool) -> None:
    noted = [e for e in decode({"choices": [], "usage": usage}) if isinstance(e, Noted)]
    assert noted == ([Noted("usage_mismatch")] if mismatch else [])
