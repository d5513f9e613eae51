"""What `reasoning_details` say of thoughts, beside the reasoning that is also told as a string."""

from __future__ import annotations

import json
from typing import Any

import pytest

from streamgauge.core.dialects.openai.decode import ChatDecoder
from streamgauge.core.events import (
    Ended,
    Event,
    Finished,
    ReasoningDelta,
    TextDelta,
    ThoughtRedacted,
    ThoughtSigned,
)

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
