"""Anthropic events as OpenAI chunks, row by row of the wire reference's table of translation."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from streamgauge.core.dialects.anthropic.decode import MessagesDecoder
from streamgauge.core.dialects.base import Telling
from streamgauge.core.dialects.openai.encode import ChatEncoder
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
    ThoughtSigned,
    TimingsReported,
    ToolCallDelta,
    ToolCallStarted,
    UsageReported,
)
from streamgauge.core.usage import Timings, TokenUsage

from ...grammar_check import legal
from .sdk import chunks, told_by_openai

TELLING = Telling("a" * 20, 'm"ü', 1_790_000_000, include_usage=True)
USAGE = TokenUsage(12, 3, 8, 1, 2)
DONE = b"data: [DONE]\n\n"
Delta = dict[str, Any]

ROLE: Delta = {"role": "assistant", "content": ""}


def start(block: dict[str, Any], index: int = 0) -> dict[str, Any]:
    return {"type": "content_block_start", "index": index, "content_block": block}


def delta(kind: str, index: int = 0, **said: str) -> dict[str, Any]:
    return {
        "type": "content_block_delta",
        "index": index,
        "delta": {"type": f"{kind}_delta", **said},
    }


def stop(index: int = 0) -> dict[str, Any]:
    return {"type": "content_block_stop", "index": index}


def ended(reason: str, **members: Any) -> dict[str, Any]:
    return {"type": "message_delta", "delta": {"stop_reason": reason, **members}, "usage": {}}


MESSAGE = {"type": "message_start", "message": {"usage": {"input_tokens": 1, "output_tokens": 1}}}
TOOL = {"type": "tool_use", "id": "t", "name": "f", "input": {}}
THINKING = {"type": "thinking", "thinking": "", "signature": ""}


def decoded(*events: dict[str, Any]) -> list[list[Event]]:
    decoder = MessagesDecoder()
    return [list(decoder.decode(json.dumps(e).encode(), e["type"].encode())) for e in events]


def encoded(
    *frames: list[Event], telling: Telling = TELLING, usage: TokenUsage = USAGE, added: bytes = b""
) -> bytes:
    encoder = ChatEncoder(telling)
    return b"".join(encoder.encode(events) for events in frames) + encoder.end(usage, added)


def told_of(wire: bytes) -> list[dict[str, Any]]:
    """Return the chunks of a wire, the end marker checked."""
    assert wire.endswith(DONE)
    frames = wire.removesuffix(DONE).decode().strip("\n").split("\n\n")
    return [json.loads(frame.removeprefix("data: ")) for frame in frames]


def deltas(wire: bytes) -> tuple[list[Delta], str]:
    """Return what the one choice adds, chunk by chunk, and its finish."""
    choices = [choice for chunk in told_of(wire) for choice in chunk["choices"]]
    assert all(choice["index"] == 0 for choice in choices)
    assert all(choice["finish_reason"] is None for choice in choices[:-1])
    assert choices[-1]["delta"] == {}
    return [choice["delta"] for choice in choices[:-1]], choices[-1]["finish_reason"]


def content(*pieces: str) -> list[Delta]:
    return [{"content": piece} for piece in pieces]


def reasoning(*pieces: str) -> list[Delta]:
    return [{"reasoning_content": piece} for piece in pieces]


def call(index: int, call_id: str, name: str, *pieces: str) -> list[Delta]:
    function: dict[str, Any] = {"name": name, "arguments": ""}
    begun = {"index": index, "id": call_id, "type": "function", "function": function}
    return [{"tool_calls": [begun]}, *arguments(index, *pieces)]


def arguments(index: int, *pieces: str) -> list[Delta]:
    return [
        {"tool_calls": [{"index": index, "function": {"arguments": piece}}]} for piece in pieces
    ]


def detail(index: int, **members: str) -> Delta:
    kind = "encrypted" if "data" in members else "text"
    told = {"type": f"reasoning.{kind}", "index": index, **members}
    return {"reasoning_details": [{**told, "format": "anthropic-claude-v1"}]}


ROWS: dict[str, tuple[list[dict[str, Any]], list[Delta], str]] = {
    "text": (
        [
            start({"type": "text", "text": ""}),
            delta("text", text="He"),
            {"type": "ping"},
            delta("text", text="llo"),
            delta("citations", citation="x"),
            stop(),
            ended("end_turn"),
        ],
        content("He", "llo"),
        "stop",
    ),
    "text in the block's start": (
        [start({"type": "text", "text": "a"}), ended("stop_sequence")],
        content("a"),
        "stop",
    ),
    "thinking, signed, and text": (
        [
            start(THINKING),
            delta("thinking", thinking="r"),
            delta("thinking", thinking="s"),
            delta("signature", signature="S"),
            stop(),
            start({"type": "text", "text": ""}, 1),
            delta("text", 1, text="a"),
            ended("end_turn"),
        ],
        [*reasoning("r", "s"), detail(0, signature="S"), *content("a")],
        "stop",
    ),
    "thinking nobody may read": (
        [
            start({"type": "redacted_thinking", "data": "x="}),
            stop(),
            start({"type": "redacted_thinking", "data": "y="}, 1),
            ended("end_turn"),
        ],
        [detail(0, data="x="), detail(1, data="y=")],
        "stop",
    ),
    "a call": (
        [
            start(TOOL),
            delta("input_json", partial_json=""),
            delta("input_json", partial_json='{"p"'),
            delta("input_json", partial_json=":1}"),
            stop(),
            ended("tool_use"),
        ],
        call(0, "t", "f", '{"p"', ":1}"),
        "tool_calls",
    ),
    "a call whose input is in its start": (
        [start({**TOOL, "input": {"n": 1.5}}), ended("tool_use")],
        call(0, "t", "f", '{"n":1.5}'),
        "tool_calls",
    ),
    "a call without input": (
        [start(TOOL), stop(), ended("tool_use")],
        call(0, "t", "f", "{}"),
        "tool_calls",
    ),
    "two calls after text, the first without input": (
        [
            start({"type": "text", "text": "a"}),
            start(TOOL, 1),
            stop(1),
            start({**TOOL, "id": "u", "name": "g"}, 2),
            delta("input_json", 2, partial_json="{}"),
            ended("tool_use"),
        ],
        [*content("a"), *call(0, "t", "f"), *call(1, "u", "g", "{}"), *arguments(0, "{}")],
        "tool_calls",
    ),
    "text after a call": (
        [
            start(TOOL),
            delta("input_json", partial_json="{}"),
            start({"type": "text", "text": ""}, 1),
            delta("text", 1, text="b"),
            ended("tool_use"),
        ],
        [*call(0, "t", "f", "{}"), *content("b")],
        "tool_calls",
    ),
    "overlapping calls": (
        [
            start(TOOL),
            start({**TOOL, "id": "u"}, 1),
            delta("input_json", 1, partial_json="{"),
            delta("input_json", 0, partial_json="{"),
            delta("input_json", 1, partial_json="}"),
            delta("input_json", 0, partial_json="}"),
            ended("tool_use"),
        ],
        [
            *call(0, "t", "f"),
            *call(1, "u", "f", "{"),
            *arguments(0, "{"),
            *arguments(1, "}"),
            *arguments(0, "}"),
        ],
        "tool_calls",
    ),
    "a tool of Anthropic's own and its result": (
        [
            start({**TOOL, "type": "server_tool_use"}),
            delta("input_json", partial_json="{}"),
            start({"type": "web_search_tool_result", "tool_use_id": "t", "content": []}, 1),
            start({"type": "text", "text": ""}, 2),
            delta("text", 2, text="a"),
            ended("end_turn"),
        ],
        content("a"),
        "stop",
    ),
    "what nobody knows": (
        [{"type": "from_the_future"}, delta("future", x="y"), ended("never_heard_of")],
        [],
        "stop",
    ),
    "an empty answer": ([ended("end_turn")], [], "stop"),
    "paused": ([ended("pause_turn")], [], "stop"),
    "cut by the limit": ([start({"type": "text", "text": "a"}), ended("max_tokens")], content("a"), "length"),
    "cut by the window": ([ended("model_context_window_exceeded")], [], "length"),
    "refused": ([start({"type": "text", "text": "a"}), ended("refusal")], content("a"), "content_filter"),
    "a call that is none": ([ended("tool_use")], [], "stop"),
}  # fmt: skip


@pytest.mark.parametrize("row", ROWS)
def test_events_become_chunks(row: str) -> None:
    events, told, finish = ROWS[row]
    wire = encoded(*decoded(MESSAGE, *events))
    assert deltas(wire) == ([ROLE, *told], finish)
    legal("openai", wire, odd={"calls_overlap"} if "calls" in row else ())
    told_by_openai(wire)


def test_every_chunk_has_the_same_head() -> None:
    wire = encoded([Started(), TextDelta("a")], [ReasoningDelta("b"), Finished("stop")])
    heads = [{k: v for k, v in c.items() if k not in ("choices", "usage")} for c in told_of(wire)]
    head = {
        "id": "chatcmpl-" + "a" * 20,
        "object": "chat.completion.chunk",
        "created": 1_790_000_000,
        "model": 'm"ü',
    }
    assert heads == [head] * 5


def test_usage_comes_before_the_end_marker_for_those_who_asked() -> None:
    wire = encoded([TextDelta("a"), Finished("stop")])
    last = told_of(wire)[-1]
    assert (last["choices"], last["usage"]) == (
        [],
        {
            "prompt_tokens": 12,
            "completion_tokens": 3,
            "total_tokens": 15,
            "prompt_tokens_details": {"cached_tokens": 8, "cache_write_tokens": 1},
            "completion_tokens_details": {"reasoning_tokens": 2},
        },
    )
    quiet = Telling("a" * 20, "m", 1)
    assert b"usage" not in encoded([TextDelta("a"), Finished("stop")], telling=quiet)


@pytest.mark.parametrize("usage", [TokenUsage(), TokenUsage(12), TokenUsage(None, 3)])
def test_usage_that_is_not_known_is_not_told(usage: TokenUsage) -> None:
    wire = encoded([TextDelta("a"), Finished("stop")], usage=usage)
    assert b"usage" not in wire
    legal("openai", wire, odd=())


@pytest.mark.parametrize("added", [b": streamgauge {}\n", b'data: {"id":"x","choices":[]}\n\n'])
def test_what_is_added_stands_right_before_the_end_marker(added: bytes) -> None:
    wire = encoded([TextDelta("a"), Finished("stop")], added=added)
    assert wire.endswith(b"}\n\n" + added + DONE)
    chunks(wire)


def test_each_choice_has_its_own_role_calls_and_finish() -> None:
    wire = encoded(
        [TextDelta("a", 1), TextDelta("b", 0)],
        [
            ToolCallStarted(0, "t", "f", 1),
            ToolCallDelta(0, "{", 1),
            ToolCallStarted(0, "u", "g", 0),
        ],
        [TextDelta("c", 0), ToolCallDelta(0, "}", 1), ReasoningDelta("r", 1)],
        [Finished("length", 0), Finished("tool_calls", 1)],
    )
    told: dict[int, list[Any]] = {0: [], 1: []}
    for chunk in told_of(wire):
        for choice in chunk["choices"]:
            told[choice["index"]].append(choice["finish_reason"] or choice["delta"])
    assert told == {
        0: [ROLE, *content("b"), *call(0, "u", "g"), *content("c"), *arguments(0, "{}"), "length"],
        1: [
            ROLE,
            *content("a"),
            *call(0, "t", "f", "{", "}"),
            *reasoning("r"),
            "tool_calls",
        ],
    }
    legal("openai", wire, odd=())


def test_a_refusal_is_told_as_one() -> None:
    wire = encoded(
        [TextDelta("No", refusal=True)], [TextDelta(".", refusal=True), Finished("stop")]
    )
    assert deltas(wire) == ([ROLE, {"refusal": "No"}, {"refusal": "."}], "content_filter")
    assert told_by_openai(wire).refusal == "No."


def test_the_text_that_stopped_it_is_told() -> None:
    wire = encoded([TextDelta("a"), Finished("stop_sequence", 0, "###")])
    (choice,) = told_of(wire)[-2]["choices"]
    assert choice == {"index": 0, "delta": {}, "finish_reason": "stop", "stop_reason": "###"}


def test_a_call_without_arguments_begins_before_what_is_said_next() -> None:
    for said in (TextDelta, ReasoningDelta):
        encoder = ChatEncoder(TELLING)
        encoder.encode([said("a")])
        assert encoder.encode([ToolCallStarted(0, "t", "f")]) == b""
        assert b'"name":"f"' in encoder.encode([said("b")]).partition(b"\n\n")[0]


def test_a_name_in_pieces_is_told_whole() -> None:
    wire = encoded(
        [ToolCallStarted(0, None, "get_")],
        [ToolCallStarted(0, "t", "wea")],
        [ToolCallStarted(0, None, "ther"), ToolCallDelta(0, "{}")],
        [ToolCallDelta(1, "{}"), Finished("stop")],
    )
    named = call(0, "t", "get_weather", "{}")
    made = call(1, f"call_{TELLING.id}_1", "unnamed", "{}")
    assert deltas(wire) == ([ROLE, *named, *made], "tool_calls")


def test_a_signature_told_twice_is_told_once() -> None:
    wire = encoded([ThoughtSigned("S")], [ThoughtSigned("S"), ThoughtSigned("T"), Finished("stop")])
    assert deltas(wire)[0] == [ROLE, detail(0, signature="S"), detail(1, signature="T")]
    assert told_by_openai(wire).signatures == ("S", "T")


def test_nothing_goes_out_before_the_answer_begins_or_after_it_is_told() -> None:
    encoder = ChatEncoder(TELLING)
    silent: list[Event] = [
        ModelNamed("x"),
        UsageReported(USAGE),
        TimingsReported(Timings()),
        Noted("bad_json"),
        TextDelta(""),
        ReasoningDelta(""),
        Failed("no"),
        Ended(),
    ]
    assert encoder.encode(silent) == b""
    assert not encoder.finished
    assert b'"role":"assistant"' in encoder.encode([Started()])
    assert encoder.encode([Started(), *silent, ToolCallDelta(0, "")]) == b""
    assert not encoder.finished
    assert encoder.encode([Finished("stop")]) == b""
    assert encoder.finished
    empty = ChatEncoder(TELLING).end(USAGE)
    assert deltas(empty) == ([ROLE], "stop")


@pytest.mark.parametrize("choice", [0, 1])
def test_arguments_may_be_the_first_thing_of_a_choice(choice: int) -> None:
    encoder = ChatEncoder(TELLING)
    said = [ToolCallDelta(0, "{}", choice), ToolCallStarted(0, "c", "ls", choice)]
    wire = b"".join(encoder.encode([event]) for event in said)
    assert wire.count(b'"arguments":"{}"') == 1
    assert wire.count(b'"name":"ls"') == 1


def arguments_alone(frame: bytes) -> str:
    """Return the piece of arguments that is all of a frame, and let go of the rest.

    What all of 200 000 frames say, kept, is what the collector of garbage then works at for seconds.
    """
    chunk = msgspec.json.decode(frame.removeprefix(b"data: "))
    [choice] = chunk["choices"]
    assert (choice["index"], choice["finish_reason"]) == (0, None)
    [piece] = choice["delta"]["tool_calls"]
    return str(piece["function"]["arguments"])


def test_arguments_of_200_kb_pass_a_byte_at_a_time() -> None:
    text = json.dumps({"text": 'a"\\{[ü\n' * 13_400})
    encoder = ChatEncoder(TELLING)
    encoder.encode([ToolCallStarted(0, "t", "f")])
    said = [encoder.encode((ToolCallDelta(0, letter),)) for letter in text]
    assert len(said) > 200_000
    assert all(frame.count(b'"arguments":') == 1 for frame in said[1:])
    start, begin, first = said[0].partition(b'"arguments":""')
    said[0] = first.partition(b"\n\n")[2]
    assert begin
    assert b'"id":"t"' in start
    assert "".join(map(arguments_alone, said)) == text
    last = said[-1] + encoder.encode([Finished("stop")]) + encoder.end(USAGE)
    assert deltas(last) == (
        [{"tool_calls": [{"index": 0, "function": {"arguments": "}"}}]}],
        "tool_calls",
    )


def test_a_lone_surrogate_is_replaced_and_nothing_else() -> None:
    said = "a\ud800b\U0001f600\u2028\x00"
    clean = said.replace("\ud800", "\ufffd")
    wire = encoded(
        [TextDelta("x")],
        [TextDelta(said)],
        [ReasoningDelta(said), ThoughtSigned(said)],
        [ToolCallStarted(0, said, said), ToolCallDelta(0, said)],
    )
    thought = [*reasoning(clean), detail(0, signature=clean)]
    told = [ROLE, *content("x", clean), *thought, *call(0, clean, clean, clean)]
    assert deltas(wire) == (told, "tool_calls")
