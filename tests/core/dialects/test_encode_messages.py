"""OpenAI chunks as Anthropic events, row by row of the wire reference's table of translation."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from streamgauge.core.dialects.anthropic.encode import MessagesEncoder
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
    ThoughtRedacted,
    ThoughtSigned,
    TimingsReported,
    ToolCallDelta,
    ToolCallStarted,
    UsageReported,
)
from streamgauge.core.usage import Timings, TokenUsage

from ...grammar_check import legal
from .message_rows import END, HEAD, ODD, ROWS, TELLING, Line, call, delta, end, text, tool
from .sdk import message

USAGE = TokenUsage(12, 3, 8, 1, 2)


def decoded(*chunks: dict[str, Any]) -> list[list[Event]]:
    decoder = ChatDecoder()
    return [list(decoder.decode(json.dumps(chunk).encode(), b"")) for chunk in chunks]


def encoded(*frames: list[Event], usage: TokenUsage = USAGE, added: bytes = b"") -> bytes:
    encoder = MessagesEncoder(TELLING)
    return b"".join(encoder.encode(events) for events in frames) + encoder.end(usage, added)


def lines(wire: bytes) -> list[Line]:
    """Return the events of a wire in short."""
    told = []
    for frame in wire.decode().strip("\n").split("\n\n"):
        name, _, data = frame.partition("\n")
        event = json.loads(data.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        told.append(_line(event))
    return told


def _line(event: dict[str, Any]) -> Line:
    match event:
        case {"type": "content_block_start", "index": index, "content_block": block}:
            return ("start", index, *block.values())
        case {"type": "content_block_delta", "index": index, "delta": said}:
            return (said["type"].removesuffix("_delta"), index, [*said.values()][1])
        case {"type": "content_block_stop", "index": index}:
            return ("stop", index)
        case {"type": "message_delta", "delta": said}:
            return ("end", said["stop_reason"], said["stop_sequence"])
        case _:
            return (event["type"],)


@pytest.mark.parametrize("row", ROWS)
def test_chunks_become_events(row: str) -> None:
    chunks, told = ROWS[row]
    wire = encoded(*decoded(*chunks))
    assert lines(wire) == [HEAD, *told, END]
    legal("anthropic", wire, odd=ODD.get(row, frozenset()))
    message(wire)


@pytest.mark.parametrize(
    ("reasons", "called", "told"),
    [
        (["stop"], False, end("end_turn")),
        (["stop"], True, end("tool_use")),
        (["eos"], False, end("end_turn")),
        (["tool_calls"], True, end("tool_use")),
        (["tool_calls"], False, end("end_turn")),
        (["function_call"], True, end("tool_use")),
        (["length"], False, end("max_tokens")),
        (["length"], True, end("max_tokens")),
        (["content_filter"], False, end("refusal")),
        (["content_filter"], True, end("refusal")),
        (["never_heard_of"], False, end("end_turn")),
        (["never_heard_of"], True, end("tool_use")),
        (["pause_turn"], False, end("pause_turn")),
        (["model_context_window_exceeded"], False, end("model_context_window_exceeded")),
        (["stop", "tool_calls"], True, end("tool_use")),
        (["stop", "length"], False, end("end_turn")),
        (["tool_calls", "stop"], True, end("tool_use")),
        (["length", "stop"], False, end("max_tokens")),
        (["length", "tool_calls"], True, end("max_tokens")),
        ([], False, end("end_turn")),
        ([], True, end("tool_use")),
    ],
)
def test_finish_reasons_become_stop_reasons(reasons: list[str], called: bool, told: Line) -> None:
    content = call(index=0, id="t", name="f", arguments="{}") if called else delta({"content": "a"})
    wire = encoded(*decoded(content, *(delta(finish=reason) for reason in reasons)))
    assert lines(wire)[-2:] == [told, END]


@pytest.mark.parametrize(
    ("finish", "told"),
    [
        (Finished("stop", 0, "###"), end("stop_sequence", "###")),
        (Finished("stop_sequence"), end("stop_sequence")),
        (Finished("end_turn", 0, "###"), end("stop_sequence", "###")),
        (Finished("length", 0, "###"), end("max_tokens")),
    ],
)
def test_the_text_that_stopped_it_is_told(finish: Finished, told: Line) -> None:
    assert lines(encoded([TextDelta("a"), finish]))[-2] == told


def test_vllm_and_llamacpp_say_which_text_stopped_them() -> None:
    vllm = {"choices": [{"index": 1, "delta": {}, "finish_reason": "stop", "stop_reason": "###"}]}
    assert decoded(vllm) == [[Finished("stop", 1, "###")]]
    for other in (None, 7, ""):
        vllm["choices"][0]["stop_reason"] = other  # a token's number is no text
        assert decoded(vllm) == [[Finished("stop", 1)]]
    native = {"content": "", "stop": True, "stop_type": "word", "stopping_word": "###"}
    assert decoded(native)[0][0] == Finished("word", 0, "###")


def test_usage_leaves_the_cache_out_of_the_input() -> None:
    _, _, data = encoded([TextDelta("a"), Finished("stop")]).partition(
        b"event: message_delta\ndata: "
    )
    assert json.loads(data.partition(b"\n")[0])["usage"] == {
        "input_tokens": 3,
        "cache_creation_input_tokens": 1,
        "cache_read_input_tokens": 8,
        "output_tokens": 3,
        "output_tokens_details": {"thinking_tokens": 2},
    }


def test_an_unknown_input_is_left_as_message_start_said_it() -> None:
    wire = encoded([TextDelta("a"), Finished("stop")], usage=TokenUsage())
    legal("anthropic", wire, odd=())
    read = message(wire)
    assert (read.usage.input_tokens, read.usage.output_tokens) == (0, 0)
    assert wire.count(b'"input_tokens"') == 1


def test_the_first_event_says_who_answers() -> None:
    first = encoded([Started()]).partition(b"\n\n")[0]
    assert json.loads(first.partition(b"data: ")[2]) == {
        "type": "message_start",
        "message": {
            "id": "msg_" + "a" * 20,
            "type": "message",
            "role": "assistant",
            "model": 'm"ü',
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": {
                "input_tokens": 0,
                "cache_creation_input_tokens": 0,
                "cache_read_input_tokens": 0,
                "output_tokens": 0,
            },
        },
    }


@pytest.mark.parametrize(
    "added", [b": streamgauge {}\n", b'event: ping\ndata: {"type":"ping"}\n\n']
)
def test_what_is_added_stands_right_before_the_end_marker(added: bytes) -> None:
    wire = encoded([TextDelta("a"), Finished("stop")], added=added)
    end_marker = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
    assert wire.endswith(b"}\n\n" + added + end_marker)
    legal("anthropic", wire, odd=())


def test_nothing_goes_out_before_the_answer_begins_or_after_it_is_told() -> None:
    encoder = MessagesEncoder(TELLING)
    silent: list[Event] = [
        ModelNamed("x"),
        UsageReported(USAGE),
        TimingsReported(Timings()),
        Noted("bad_json"),
        Finished("stop", 1),
        TextDelta(""),
        ReasoningDelta(""),
        ToolCallDelta(0, ""),
    ]
    assert encoder.encode(silent) == b""
    assert not encoder.finished
    assert encoder.encode([Started()]).startswith(b"event: message_start\n")
    assert encoder.encode([Started(), *silent, Failed("no"), Ended()]) == b""
    assert not encoder.finished
    assert encoder.encode([Finished("stop")]) == b""
    assert encoder.finished


def test_an_answer_of_nothing_is_a_legal_message() -> None:
    wire = encoded()
    assert lines(wire) == [HEAD, end("end_turn"), END]
    legal("anthropic", wire, odd=())
    assert message(wire).content == []


def test_further_choices_are_left_out() -> None:
    encoder = MessagesEncoder(TELLING)
    begun: list[Event] = [ToolCallStarted(0, "t", "f"), ToolCallDelta(0, "{"), TextDelta("a")]
    encoder.encode(begun)
    for choice in (1, 2, 2):
        encoder.encode([TextDelta("a") if choice == 1 else ReasoningDelta("a")])
        dropped: list[Event] = [
            TextDelta("a", choice),
            ReasoningDelta("a", choice),
            ThoughtSigned("a", choice),
            ThoughtRedacted("a", choice),
            ToolCallStarted(0, "t", "f", choice),
            ToolCallDelta(0, "{}", choice),
            Finished("stop", choice),
        ]
        assert encoder.encode(dropped) == b""
        assert [encoder.encode([event]) for event in dropped] == [b""] * len(dropped)
    assert not encoder.finished


def test_a_call_that_the_upstream_runs_itself_is_not_told() -> None:
    wire = encoded(
        [
            TextDelta("a"),
            ToolCallStarted(0, "t", "web_search", served=True),
            ToolCallDelta(0, "{}"),
        ],
        [
            TextDelta("b"),
            ToolCallStarted(1, "u", "f"),
            ToolCallDelta(1, "{}"),
            Finished("tool_use"),
        ],
    )
    assert lines(wire) == [HEAD, *text(0, "a", "b"), *tool(1, "u", "f", "{}"), end("tool_use"), END]


def test_arguments_of_200_kb_pass_a_byte_at_a_time() -> None:
    arguments = json.dumps({"text": 'a"\\{[ü\n' * 13_400})
    encoder = MessagesEncoder(TELLING)
    encoder.encode([ToolCallStarted(0, "t", "f")])
    said = [encoder.encode((ToolCallDelta(0, letter),)) for letter in arguments]
    assert len(said) > 200_000
    assert all(frame.count(b"input_json_delta") == 1 for frame in said)
    pieces = [lines(frame)[-1] for frame in said]
    assert {(*piece[:2], len(piece)) for piece in pieces} == {("input_json", 0, 3)}
    assert "".join(piece[2] for piece in pieces) == arguments
    over = encoder.encode([TextDelta("a"), Finished("stop")]) + encoder.end(USAGE)
    assert lines(over) == [("stop", 0), *text(1, "a"), end("tool_use"), END]


def test_very_many_open_calls_cost_each_block_no_more() -> None:
    """Measured: 0.2 s; it was 1.9 s and more, and four times that for twice as many."""
    many, began = 3000, time.process_time()
    calls = [[ToolCallStarted(n, f"c{n}", "f"), ToolCallDelta(n, "{")] for n in range(many)]
    ends: list[list[Event]] = [[ToolCallDelta(n, "}")] for n in range(many)]
    wire = encoded(
        [Started()], *calls, *([[TextDelta("a")], [ToolCallDelta(0, " ")]] * many), *ends
    )
    assert time.process_time() - began < 1.0
    assert wire.count(b"event: content_block_stop") == many + 1
    legal("anthropic", wire)


def test_a_lone_surrogate_is_replaced_and_nothing_else() -> None:
    said = "a\ud800b\U0001f600\u2028\x00"
    frames: list[list[Event]] = [
        [TextDelta("x")],
        [TextDelta(said)],
        [ToolCallStarted(0, said, said)],
    ]
    told = lines(
        encoded(*frames, [ToolCallDelta(0, said)], [ReasoningDelta(said), ThoughtSigned(said)])
    )
    clean = said.replace("\ud800", "\ufffd")
    assert told[2:4] == [("text", 0, "x"), ("text", 0, clean)]
    assert told[5:7] == [("start", 1, "tool_use", clean, clean, {}), ("input_json", 1, clean)]
    assert told[8:10] == [("thinking", 2, clean), ("signature", 2, clean)]


def test_a_name_behind_arguments_is_no_more_of_the_name() -> None:
    chunks = [
        call(index=0, id="t", name="ls", arguments="{"),
        call(index=0, name="x", arguments="}"),
        call(index=1, id="u", arguments="{}"),
        call(index=1, name="late"),
    ]
    named = [e for events in decoded(*chunks) for e in events if isinstance(e, ToolCallStarted)]
    assert [(e.index, e.name) for e in named] == [(0, "ls"), (1, None), (1, "late")]
