"""What `reasoning_details` say of thoughts, beside the reasoning that is also told as a string."""

from __future__ import annotations

import json
from typing import Any

import pytest
from openai.lib.streaming.chat import ChatCompletionStreamState

from streamgauge.core.conversation import RedactedThought, Text, Thought, maker_of, sealed_by
from streamgauge.core.dialects.base import Telling, Wish
from streamgauge.core.dialects.codecs import UPSTREAMS
from streamgauge.core.dialects.openai.decode import ChatDecoder
from streamgauge.core.dialects.openai.details import redacted_detail, text_detail
from streamgauge.core.dialects.openai.encode import ChatEncoder
from streamgauge.core.dialects.openai.read_request import read_conversation
from streamgauge.core.events import (
    Ended,
    Event,
    Finished,
    ReasoningDelta,
    TextDelta,
    ThoughtRedacted,
    ThoughtSigned,
)
from streamgauge.core.usage import TokenUsage

from .sdk import chunks

A, B = {"text": "a"}, {"text": "b"}
SIGNED = {"type": "reasoning.text", "signature": "S"}
HIDDEN = {"type": "reasoning.encrypted", "data": "x="}
SAID_A, SIGNATURE, REDACTED = ReasoningDelta("a"), ThoughtSigned("S"), ThoughtRedacted("x=")

CASES: list[tuple[dict[str, Any], list[Event]]] = [
    ({"reasoning_details": None, "reasoning": "a"}, [SAID_A]),
    ({"reasoning_details": [], "reasoning": "a"}, [SAID_A]),
    ({"reasoning_details": [A], "reasoning": "a"}, [SAID_A]),
    ({"reasoning_details": [A]}, [SAID_A]),
    ({"reasoning_details": [A, B]}, [ReasoningDelta("ab")]),
    ({"reasoning_details": [{"type": "reasoning.summary", "summary": "a"}]}, [SAID_A]),
    ({"reasoning_details": [A, SIGNED], "reasoning": "a"}, [SAID_A, SIGNATURE]),
    ({"reasoning_details": [SIGNED], "reasoning_content": "a"}, [SAID_A, SIGNATURE]),
    ({"reasoning_details": [B, SIGNED], "reasoning": "a"}, [SAID_A, SIGNATURE]),
    ({"reasoning_details": [SIGNED]}, [SIGNATURE]),
    ({"reasoning_details": [HIDDEN]}, [REDACTED]),
    (
        {"reasoning_details": [{**A, **SIGNED}, HIDDEN, B], "reasoning": "ab"},
        [SAID_A, SIGNATURE, REDACTED, ReasoningDelta("b")],
    ),
    ({"reasoning_details": [SIGNED], "content": "c"}, [SIGNATURE, TextDelta("c")]),
    ({"reasoning_details": [{"signature": ""}, {"data": ""}, {"text": ""}]}, []),
    ({"reasoning_details": [7, {"text": 7, "signature": 7, "data": 7}]}, []),
    ({"reasoning_details": "a", "reasoning": "a"}, [SAID_A]),
    ({"reasoning_details": {"text": "b"}, "content": "c"}, [TextDelta("c")]),
]


@pytest.mark.parametrize(("said", "told"), CASES)
def test_details_are_read_in_order_and_the_string_once(
    said: dict[str, Any], told: list[Event]
) -> None:
    decoder = ChatDecoder()
    chunk = {"choices": [{"index": 0, "delta": said}]}
    assert list(decoder.decode(json.dumps(chunk).encode(), b"")) == told
    loosely = {**chunk, "usage": None, "choices": [{"index": 0, "delta": {**said, "role": 7}}]}
    events = ChatDecoder().decode(json.dumps(loosely).encode(), b"")
    assert [e for e in events if not hasattr(e, "anomaly")] == told


@pytest.mark.parametrize(("said", "told"), CASES)
def test_an_answer_that_is_no_stream_says_the_same(said: dict[str, Any], told: list[Event]) -> None:
    message = {"content": None, **said}
    body = {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
    read = ChatDecoder().read_answer(json.dumps(body).encode())
    assert read is not None
    assert list(read) == [*told, Finished("stop"), Ended()]


def test_a_signed_thought_comes_back_from_a_client_that_keeps_what_it_was_streamed() -> None:
    encoder = ChatEncoder(Telling("a" * 20, "m", 1_790_000_000))
    frames: list[list[Event]] = [
        [ReasoningDelta("so ")],
        [ReasoningDelta("so")],
        [ThoughtSigned("S")],
        [ThoughtRedacted("x=")],
        [TextDelta("a"), Finished("stop")],
    ]
    wire = b"".join(encoder.encode(events) for events in frames) + encoder.end(TokenUsage())
    state: Any = ChatCompletionStreamState()
    for chunk in chunks(wire):
        state.handle_chunk(chunk)
    kept = state.current_completion_snapshot.choices[0].message.model_dump(exclude_none=True)
    asked = {"model": "m", "messages": [kept]}
    (message,) = read_conversation(asked).messages
    assert message.parts == (Thought("so so", "S"), RedactedThought("x="), Text("a"))


@pytest.mark.parametrize("more", [{"text": "r"}, {"signature": "S"}, {"data": "x="}])
def test_a_frame_like_those_before_it_is_read_whole_where_details_say_more(
    more: dict[str, str],
) -> None:
    decoder = ChatDecoder()
    frames: list[dict[str, Any]] = [{"content": "a"}] * 3 + [
        {"content": "a", "reasoning_details": [more]}
    ]
    told = [
        decoder.decode(json.dumps({"choices": [{"delta": said}]}).encode(), b"") for said in frames
    ]
    assert len(told[-1]) == 2
    assert told[-1][1] == TextDelta("a")


# --- of another maker than Anthropic --------------------------------------------------------------

GEMINI = "google-gemini-v1"
MARKED = f"streamgauge:{GEMINI}:S"


@pytest.mark.parametrize("maker", [None, "unknown", "anthropic-claude-v1", "a:b", ""])
def test_a_seal_of_no_maker_that_is_certainly_another_stays_as_it_is(maker: str | None) -> None:
    assert sealed_by(maker, "S") == "S"
    assert maker_of("S") == (None, "S")
    assert maker_of("streamgauge:S") == (None, "streamgauge:S")


def test_a_seal_keeps_its_maker_on_the_way_to_any_client_and_back() -> None:
    sealed = [{**A, **SIGNED, "format": GEMINI}, {**HIDDEN, "format": GEMINI}]
    delta = {"reasoning_details": sealed}
    frame = json.dumps({"choices": [{"index": 0, "delta": delta}]}).encode()
    events = ChatDecoder().decode(frame, b"")
    hidden = f"streamgauge:{GEMINI}:x="
    assert [*events] == [SAID_A, ThoughtSigned(MARKED), ThoughtRedacted(hidden)]
    told = [text_detail(0, MARKED, "a"), redacted_detail(1, hidden)]
    assert [(d["format"], d.get("signature", d.get("data"))) for d in told] == [
        (GEMINI, "S"),
        (GEMINI, "x="),
    ]
    turns = [{"role": "user", "content": "q"}]
    asked = read_conversation({"messages": [*turns, {"role": "assistant", **delta}, *turns]})
    assert asked.messages[1].parts == (Thought("a", MARKED), RedactedThought(hidden))
    written = json.loads(
        UPSTREAMS["openai"].write(asked, Wish("openrouter", "m", stream=False)).body
    )
    details = written["messages"][1]["reasoning_details"]
    assert [(d["format"], d.get("signature", d.get("data"))) for d in details] == [
        (GEMINI, "S"),
        (GEMINI, "x="),
    ]


def test_a_seal_of_another_maker_is_not_shown_to_anthropic() -> None:
    turns = [{"role": "user", "content": "q"}]
    sealed = [{**A, **SIGNED, "format": GEMINI}, {**HIDDEN, "format": GEMINI}]
    said = {"role": "assistant", "content": "c", "reasoning_details": sealed}
    asked = read_conversation({"messages": [*turns, said, *turns]})
    told = UPSTREAMS["anthropic"].write(asked, Wish("anthropic", "m", stream=False))
    assert json.loads(told.body)["messages"][1]["content"] == [{"type": "text", "text": "c"}]
    assert set(told.lost) == {"thinking", "redacted_thinking"}
