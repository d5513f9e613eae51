"""The `simple` and `frames` protocols: everything that was said is in them, legal, and at once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamgauge.core.dialects.base import Telling
from streamgauge.core.dialects.frames import FramesEncoder
from streamgauge.core.dialects.plain import frames_dialect, simple_dialect
from streamgauge.core.dialects.registry import SPOKEN
from streamgauge.core.dialects.simple import SimpleEncoder, metadata_line
from streamgauge.core.errors import ErrorCode, GatewayError
from streamgauge.core.events import (
    Event,
    Finished,
    ReasoningDelta,
    Started,
    TextDelta,
    ThoughtRedacted,
    ThoughtSigned,
    ToolCallDelta,
    ToolCallStarted,
)
from streamgauge.core.record import ExchangeRecord
from streamgauge.core.transform.markdown_html import MarkdownHtml
from streamgauge.core.usage import TokenUsage

from ...grammar_check import legal

TELLING = Telling("a" * 20, "m", 1, include_usage=True)
QUIET = Telling("a" * 20, "m", 1)
USAGE = TokenUsage(input=5, output=3, cache_read=0)
ERROR = GatewayError(502, ErrorCode.STREAM_INCOMPLETE, "the upstream ended early")
EVENT = b"event: streamgauge\ndata: {}\n\n"
MAKERS: dict[str, Callable[[Telling], Any]] = {"simple": SimpleEncoder, "frames": FramesEncoder}
WORDS = st.text(max_size=6)
EVENTS = st.one_of(
    st.just(Started()),
    st.builds(TextDelta, WORDS),
    st.builds(TextDelta, WORDS, refusal=st.booleans()),
    st.builds(ReasoningDelta, WORDS),
    st.builds(ThoughtSigned, WORDS),
    st.builds(ThoughtRedacted, WORDS),
    st.builds(
        ToolCallStarted, st.integers(0, 2), st.none() | st.just("id"), st.none() | st.just("na")
    ),
    st.builds(ToolCallDelta, st.integers(0, 2), WORDS),
)


def lines(body: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in body.splitlines()]


def frames(body: bytes) -> list[dict[str, Any]]:
    parts = body.split(b"\n")
    return [json.loads(part[6:]) for part in parts if part.startswith(b"data: ")]


def read(protocol: str, body: bytes) -> list[dict[str, Any]]:
    return lines(body) if protocol == "simple" else frames(body)


def assembled(protocol: str, body: bytes) -> dict[str, Any]:
    """Put together what a client of the protocol reads."""
    told: dict[str, Any] = {"text": "", "reasoning": "", "calls": {}}
    for value in read(protocol, body):
        if protocol == "simple":
            told["text"] += value.get("content", "") if value["type"] == "delta" else ""
            told["reasoning"] += value.get("content", "") if value["type"] == "reasoning" else ""
            call = value if value["type"] == "tool_call" else None
        else:
            told["text"] += value["content"]
            told["reasoning"] += value.get("reasoning", "")
            call = value.get("tool_call")
        if call is not None:
            known = told["calls"].setdefault(call["index"], {"arguments": ""})
            known |= {key: call[key] for key in ("id", "name") if key in call}
            known["arguments"] += call.get("arguments", "")
    return told


def encoded(protocol: str, events: Sequence[Event]) -> bytes:
    made = MAKERS[protocol](TELLING)
    return b"".join(made.encode([event]) for event in events) + made.end(USAGE)


SAID: list[Event] = [
    Started(),
    ReasoningDelta("hm"),
    TextDelta("Hé "),
    TextDelta("you"),
    TextDelta("dropped", choice=1),
    ToolCallStarted(0, "x", "l"),
    ToolCallStarted(0, None, "s"),
    ToolCallDelta(0, '{"a"'),
    ToolCallStarted(1, None, "pwd"),
    ToolCallDelta(0, ":1}"),
    Finished("stop"),
]


@pytest.mark.parametrize("protocol", MAKERS)
def test_text_reasoning_and_calls_arrive_as_they_were_said(protocol: str) -> None:
    body = encoded(protocol, SAID)
    legal(protocol, body, ())
    assert assembled(protocol, body) == {
        "text": "Hé you",
        "reasoning": "hm",
        "calls": {
            0: {"id": "x", "name": "ls", "arguments": '{"a":1}'},
            1: {"id": f"call_{'a' * 20}_1", "name": "pwd", "arguments": "{}"},
        },
    }
    last = read(protocol, body)[-1]
    assert last["finish_reason"] == "tool_calls"
    assert last["usage"] == {"input_tokens": 5, "output_tokens": 3, "cache_read_tokens": 0}


def test_simple_is_the_lines_of_the_specification() -> None:
    made = SimpleEncoder(QUIET)
    assert made.encode([]) == b""
    assert made.encode([Started()]) == b'{"type":"status","status":"thinking"}\n'
    assert made.keepalive() == b'{"type":"status","status":"waiting"}\n'
    assert made.encode([TextDelta("a")]) == b'{"type":"delta","content":"a"}\n'
    assert made.encode([TextDelta("b")]) == b'{"type":"delta","content":"b"}\n'
    assert made.keepalive() == b'{"type":"status","status":"writing"}\n'
    assert made.encode([Finished("length")]) == b""
    assert made.finished
    assert made.end(USAGE) == b'{"type":"done","finish_reason":"length"}\n'


def test_frames_are_stamped_one_by_one_and_the_last_one_sums_up() -> None:
    made = FramesEncoder(QUIET)
    body = made.encode([TextDelta("Hé")]) + made.encode([TextDelta(" you"), Finished("stop")])
    assert made.keepalive().startswith(b":")
    first, second, last = frames(body + made.keepalive() + made.end(USAGE))
    texts = ("Hé", " you", "")
    assert first == {
        "done": False,
        "seq": 1,
        "stream_id": "a" * 20,
        "acc_len": 2,
        "raw_len": 2,
        "sha1": hashlib.sha1("Hé".encode()).hexdigest()[:12],
        "content": "Hé",
    }
    assert (second["seq"], second["acc_len"]) == (2, 6)
    whole = hashlib.sha1("".join(text + "\n" for text in texts).encode()).hexdigest()
    assert last["done"] is True
    assert (last["frames_out"], last["stream_sha1"]) == (3, whole)
    assert last["content"] == ""
    assert "usage" not in last


@pytest.mark.parametrize("protocol", MAKERS)
def test_an_answer_that_failed_ends_with_the_error(protocol: str) -> None:
    made = MAKERS[protocol](TELLING)
    body = made.encode([TextDelta("a")]) + made.fail(ERROR)
    legal(protocol, body, ())
    last = read(protocol, body)[-1]
    assert last["error"] == {
        "message": "the upstream ended early",
        "code": "stream_incomplete",
        "status": 502,
    }
    assert last.get("type", "done") == "done"
    assert last.get("done", True) is True
    assert "finish_reason" not in last
    legal(protocol, MAKERS[protocol](TELLING).fail(ERROR), ())


@pytest.mark.parametrize("protocol", MAKERS)
def test_an_answer_without_a_word_is_legal(protocol: str) -> None:
    body = encoded(protocol, [Finished("stop")])
    legal(protocol, body, ())
    assert assembled(protocol, body) == {"text": "", "reasoning": "", "calls": {}}


@pytest.mark.parametrize("protocol", MAKERS)
def test_what_is_added_stands_just_before_the_end(protocol: str) -> None:
    added = (
        metadata_line(b'{"input_tokens":5}') if protocol == "simple" else b': streamgauge {"x":1}\n'
    )
    made = MAKERS[protocol](TELLING)
    body = made.encode([TextDelta("a"), Finished("stop")]) + made.end(USAGE, added)
    legal(protocol, body, ())
    before, after = body.split(added)
    assert before
    assert len(read(protocol, after)) == 1


@given(st.lists(EVENTS, max_size=12))
@pytest.mark.parametrize("protocol", MAKERS)
def test_any_answer_is_legal_and_no_text_is_lost(protocol: str, events: list[Event]) -> None:
    body = encoded(protocol, [*events, Finished("stop")])
    legal(protocol, body, ())
    told = assembled(protocol, body)
    assert told["text"] == "".join(e.text for e in events if isinstance(e, TextDelta))
    assert told["reasoning"] == "".join(e.text for e in events if isinstance(e, ReasoningDelta))


@pytest.mark.parametrize("protocol", MAKERS)
def test_no_piece_of_an_answer_waits_for_the_next(protocol: str) -> None:
    made = MAKERS[protocol](TELLING)
    made.encode([Started(), ToolCallStarted(0, "x", "ls"), ToolCallDelta(0, "{")])
    for piece in (TextDelta("a"), ReasoningDelta("b"), ToolCallDelta(0, "}")):
        assert made.encode([piece]).count(b"\n") == (1 if protocol == "simple" else 2)


@pytest.mark.parametrize("protocol", MAKERS)
def test_half_a_surrogate_pair_becomes_one_replacement_and_nothing_else_does(protocol: str) -> None:
    body = encoded(protocol, [TextDelta("a\ud83db"), TextDelta("😀"), Finished("stop")])
    legal(protocol, body, ())
    assert assembled(protocol, body)["text"] == "a\ufffdb😀"


@pytest.mark.parametrize("protocol", MAKERS)
def test_a_protocol_is_called_by_its_name(protocol: str) -> None:
    make = {"simple": simple_dialect, "frames": frames_dialect}[protocol]
    made = make(SPOKEN["openai"])
    assert (made.name, made.encoder) == (protocol, MAKERS[protocol])
    assert SPOKEN[protocol].name == protocol


@pytest.mark.parametrize(
    ("mode", "simple", "frames"),
    [
        ("off", b"", b""),
        ("comment", b'{"type":"metadata","streamgauge":{}}\n', b": streamgauge {}\n"),
        ("chunk", b'{"type":"metadata","streamgauge":{}}\n', b": streamgauge {}\n"),
        ("event", b'{"type":"metadata","streamgauge":{}}\n', EVENT),
        ("after_done", b'{"type":"metadata","streamgauge":{}}\n', EVENT),
    ],
)
def test_metadata_is_told_as_the_protocol_can(mode: str, simple: bytes, frames: bytes) -> None:
    record = ExchangeRecord(id="a", owner="o", started_at=1, endpoint="chat/completions")
    family = SPOKEN["openai"]
    assert simple_dialect(family).metadata(mode, b"{}", record) == simple
    assert frames_dialect(family).metadata(mode, b"{}", record) == frames


@pytest.mark.parametrize("protocol", MAKERS)
def test_an_empty_piece_of_arguments_adds_nothing(protocol: str) -> None:
    call = [ToolCallStarted(0, "x", "ls"), ToolCallDelta(0, '{"a"'), ToolCallDelta(0, ":1}")]
    bare = encoded(protocol, [*call, Finished("tool_calls")])
    assert encoded(protocol, [*call[:2], ToolCallDelta(0, ""), call[2], Finished("stop")]) == bare


@pytest.mark.parametrize("protocol", MAKERS)
def test_choices_beyond_the_first_are_left_out(protocol: str) -> None:
    every = [TextDelta("a"), TextDelta("b", choice=1), TextDelta("c", choice=2), Finished("stop")]
    assert encoded(protocol, every) == encoded(protocol, [every[0], every[-1]])


def test_a_refusal_is_text_and_ends_as_one() -> None:
    body = encoded("simple", [TextDelta("I cannot", refusal=True), Finished("stop")])
    assert assembled("simple", body)["text"] == "I cannot"
    assert lines(body)[-1]["finish_reason"] == "content_filter"


def test_frames_with_markdown_send_whole_blocks_and_count_both_lengths() -> None:
    made = FramesEncoder(TELLING, MarkdownHtml())
    assert made.encode([TextDelta("# Ti")]) == b""
    (first,) = frames(made.encode([TextDelta("tle\nSome ")]))
    assert first["content"] == "<h1>Title</h1>\n"
    assert (first["acc_len"], first["raw_len"]) == (15, 13)
    flushed, call = frames(
        made.encode([TextDelta("text"), ToolCallStarted(0, "x", "ls"), ToolCallDelta(0, "{}")])
    )[:2]
    assert flushed["content"] == "<p>Some text</p>\n", "a call ends the text before it"
    assert call["tool_call"]["name"] == "ls"


def test_an_answer_with_markdown_is_legal_also_where_it_fails_in_a_block() -> None:
    for last in ("end", "fail"):
        made = FramesEncoder(TELLING, MarkdownHtml())
        body = made.encode([TextDelta("# T\n\n- a\n- b"), Finished("stop")])
        body += made.end(USAGE) if last == "end" else made.fail(ERROR)
        legal("frames", body, ())
        text = assembled("frames", body)["text"]
        assert text == "<h1>T</h1>\n<ul>\n<li>a</li>\n<li>b</li>\n</ul>\n"
