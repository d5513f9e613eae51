"""Reasoning told apart in frames that pass as they are: what else stands in them, and odd ones."""

from __future__ import annotations

import json
from typing import Any

import pytest

from streamgauge.core.dialects.anthropic.think_frames import MessagesThinkFrames
from streamgauge.core.dialects.openai.think_frames import ChatThinkFrames

from ..transform.chains import chunk, event

STOP = event("content_block_stop", index=0)


def start(text: str = "", index: int = 0) -> bytes:
    return event("content_block_start", index=index, content_block={"type": "text", "text": text})


def delta(text: str, index: int = 0) -> bytes:
    said = {"type": "text_delta", "text": text}
    return event("content_block_delta", index=index, delta=said)


def through(rewriter: Any, *frames: bytes) -> list[bytes]:
    """Return what leaves for `frames`, cut by hand, and what is left at the end."""
    told: list[bytes] = []
    for frame in frames:
        lines = dict(line.split(b": ", 1) for line in frame.splitlines() if line)
        told += rewriter.rewrite(frame, lines[b"data"], lines.get(b"event", b""))
    return [*told, *rewriter.end()]


def blocks(frames: list[bytes]) -> list[tuple[int, str, str]]:
    """Return each block of Anthropic's: its index, its kind and its text."""
    told: dict[int, tuple[str, str]] = {}
    for each in frames:
        frame = json.loads(each.splitlines()[1][6:])
        index = frame.get("index")
        if frame["type"] == "content_block_start":
            block = frame["content_block"]
            assert index not in told
            told[index] = (block["type"], block.get("text", ""))
        elif frame["type"] == "content_block_delta":
            kind, text = told[index]
            told[index] = (kind, text + frame["delta"].get(kind, ""))
    return [(index, *told[index]) for index in sorted(told)]


def test_a_block_that_begins_with_its_text_is_told_apart_from_there() -> None:
    frames = through(MessagesThinkFrames(), start("<think>why</think>yes"), STOP)
    assert blocks(frames) == [(0, "thinking", "why"), (1, "text", "yes")]
    assert json.loads(frames[-1].splitlines()[1][6:])["index"] == 1


def test_a_block_without_text_begins_and_ends_as_it_came() -> None:
    assert through(MessagesThinkFrames(), start(), STOP) == [start(), STOP]


def test_citations_stay_where_their_text_has_gone() -> None:
    cited = event("content_block_delta", index=0, delta={"type": "citations_delta", "citation": {}})
    wire = (start(), delta("a"), cited, STOP)
    assert through(MessagesThinkFrames(), *wire) == list(wire)
    moved = through(MessagesThinkFrames(), start("<think>b</think>c"), cited, STOP)
    (frame,) = (json.loads(e.splitlines()[1][6:]) for e in moved if b"citations_delta" in e)
    assert frame["index"] == 1


def test_pieces_of_one_reasoning_are_one_block() -> None:
    wire = (start(), delta("<think>a"), delta("b"), delta("</think>c"), delta("d"), STOP)
    frames = through(MessagesThinkFrames(), *wire)
    assert blocks(frames) == [(0, "thinking", "ab"), (1, "text", "cd")]


def tool(index: int) -> bytes:
    block = {"type": "tool_use", "id": f"t{index}", "name": "f", "input": {}}
    return event("content_block_start", index=index, content_block=block)


def arguments(index: int) -> bytes:
    piece = {"type": "input_json_delta", "partial_json": "{}"}
    return event("content_block_delta", index=index, delta=piece)


def stop(index: int) -> bytes:
    return event("content_block_stop", index=index)


def indexes(frames: list[bytes]) -> list[tuple[str, int]]:
    told = [json.loads(each.splitlines()[1][6:]) for each in frames]
    return [(each["type"].removeprefix("content_block_"), each["index"]) for each in told]


def test_a_block_that_is_open_beside_one_that_is_split_stays_where_it_is() -> None:
    wire = (tool(0), start("<think>a</think>b", 1), arguments(0), stop(0), stop(1), tool(2))
    assert indexes(through(MessagesThinkFrames(), *wire)) == [
        ("start", 0),
        *(("start", 1), ("delta", 1), ("stop", 1), ("start", 2), ("delta", 2)),
        *(("delta", 0), ("stop", 0), ("stop", 2)),
        ("start", 3),
    ]


def test_a_block_that_is_split_goes_on_behind_those_that_began_meanwhile() -> None:
    wire = (start("a\n"), tool(1), delta("<think>b"), arguments(1), stop(0), stop(1), tool(2))
    frames = through(MessagesThinkFrames(), *wire)
    assert indexes(frames) == [
        *(("start", 0), ("delta", 0), ("start", 1), ("stop", 0), ("start", 2), ("delta", 2)),
        *(("delta", 1), ("stop", 2), ("stop", 1), ("start", 3)),
    ]
    assert blocks(frames)[2] == (2, "thinking", "b")


def test_what_is_held_of_a_block_leaves_before_another_begins() -> None:
    wire = (
        start("<thi"),
        start(index=1),
        tool(2),
        delta("nk>", 0),
        stop(0),
        delta("a", 1),
        stop(1),
    )
    frames = through(MessagesThinkFrames(), *wire)
    assert blocks(frames) == [(0, "text", "<think>"), (1, "text", "a"), (2, "tool_use", "")]
    assert indexes(frames)[:4] == [("start", 0), ("delta", 0), ("start", 1), ("start", 2)]


def test_what_was_held_of_a_chat_answer_leaves_before_its_end_marker() -> None:
    held = [chunk({"content": "a\n<thi"}), b"data: [DONE]\n\n"]
    first, rest, done = through(ChatThinkFrames(), *held)
    told = [json.loads(each[6:])["choices"][0]["delta"]["content"] for each in (first, rest)]
    assert told == ["a\n", "<thi"]
    assert done == held[1]


@pytest.mark.parametrize("payload", ["7", "{}", '{"choices": 7}', "no JSON"])
def test_what_is_no_chunk_passes(payload: str) -> None:
    frame = f"data: {payload}\n\n".encode()
    assert through(ChatThinkFrames(), frame) == [frame]


@pytest.mark.parametrize("choices", [[None], [7, {"delta": {"content": "a"}}], [{"delta": None}]])
def test_choices_that_are_none_of_the_protocol_pass(choices: list[Any]) -> None:
    frame = b"data: " + json.dumps({"choices": choices}).encode() + b"\n\n"
    assert through(ChatThinkFrames(), frame) == [frame]


def test_what_is_held_at_the_end_belongs_to_the_choice_that_said_it() -> None:
    told = through(
        ChatThinkFrames(), chunk({"role": "assistant"}), chunk({"content": "<think>wh<"})
    )
    (choice,) = json.loads(told[-1][6:])["choices"]
    said = {"content": "", "reasoning_content": "<"}
    assert choice == {"index": 0, "delta": said, "finish_reason": None}
