"""Tool calls repaired in frames that pass as they are: how a call is known, and odd frames."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from streamgauge.core.dialects.anthropic.call_frames import MessagesCallFrames
from streamgauge.core.dialects.openai.call_frames import ChatCallFrames

from ..transform.chains import call, chunk, event

DONE = b"data: [DONE]\n\n"


def chat(*frames: bytes) -> list[bytes]:
    """Return what leaves for `frames` of one chat answer."""
    rewriter = ChatCallFrames([].append)
    return [told for frame in frames for told in rewriter.rewrite(frame, frame[6:-2], b"")]


def calls_of(frames: Sequence[bytes]) -> list[dict[str, Any]]:
    choices = [json.loads(each[6:])["choices"][0] for each in frames if each != DONE]
    return [made for choice in choices for made in choice["delta"].get("tool_calls", ())]


def piece(id: str, arguments: str, **named: Any) -> bytes:
    function = {**named, "arguments": arguments}
    return chunk({"tool_calls": [{"id": id, "type": "function", "function": function}]})


def test_calls_without_an_index_that_alternate_are_known_by_their_ids() -> None:
    told = calls_of(chat(
        piece("a", '{"x":', name="f"), piece("b", '{"y":', name="g"),
        piece("a", "1}"), piece("b", "2}"), DONE,
    ))  # fmt: skip
    said: dict[int, str] = {}
    for made in told:
        said[made["index"]] = said.get(made["index"], "") + made["function"]["arguments"]
    assert said == {0: '{"x":1}', 1: '{"y":2}'}


@pytest.mark.parametrize("function", [{"name": "f"}, {"name": "f", "arguments": None}, None])
def test_a_piece_without_arguments_leaves_as_it_came(function: Any) -> None:
    frame = chunk({"tool_calls": [{"index": 0, "id": "a", "function": function}]})
    assert chat(frame) == [frame]


@pytest.mark.parametrize("choices", ["7", "[7]", "null", '[{"delta": {}}'])
def test_a_frame_with_calls_in_it_that_is_no_chunk_leaves_as_it_came(choices: str) -> None:
    frame = b'data: {"tool_calls": [], "choices": %b}\n\n' % choices.encode()
    assert chat(frame) == [frame]


def test_a_chunk_that_says_other_things_too_stays_where_its_arguments_do() -> None:
    frame = chunk({"content": "hi", **call('{"a": 1}', id="a", name="f")})
    assert chat(frame, DONE) == [frame, DONE]


def test_two_calls_in_one_chunk_are_repaired_where_one_needs_it() -> None:
    made = [{"index": n, "id": str(n), "type": "function", "function": {"name": "f", "arguments": a}}
            for n, a in enumerate(('{"a": 1}', "{b: 2}"))]  # fmt: skip
    told = calls_of(chat(chunk({"tool_calls": made}), DONE))
    assert [each["function"]["arguments"] for each in told] == ['{"a": 1}', '{"b": 2}']


@pytest.mark.parametrize("payload", [b'"tool_use"', b"[message_", b"input_json_delta"])
def test_an_event_that_is_no_object_passes(payload: bytes) -> None:
    raw = b"data: " + payload + b"\n\n"
    assert MessagesCallFrames([].append).rewrite(raw, payload, b"") == [raw]


@pytest.mark.parametrize("index", [None, "0", 1.5, [0], {"a": 1}])
def test_a_block_may_be_known_by_anything(index: Any) -> None:
    rewriter = MessagesCallFrames([].append)
    told: list[bytes] = []
    for frame in (
        event("content_block_start", index=index, content_block={"type": "tool_use"}),
        event(
            "content_block_delta",
            index=index,
            delta={"type": "input_json_delta", "partial_json": "{a:1}"},
        ),
        event("content_block_stop", index=index),
    ):
        told += rewriter.rewrite(frame, frame[frame.index(b"{") : -2], b"")
    _, said, _ = (json.loads(frame[frame.index(b"{") :]) for frame in told)
    assert (said["index"], said["delta"]["partial_json"]) == (index, '{"a":1}')
