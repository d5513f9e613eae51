"""Ollama's chat lines, regular and odd, streamed and whole, as events of ours."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamgauge.core.dialects.ollama.decode import OllamaDecoder
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
    UsageReported,
)
from streamgauge.core.meter import Meter
from streamgauge.core.ndjson import NdjsonSplitter
from streamgauge.core.reading import StreamReading
from streamgauge.core.usage import MAX_COUNT, Timings, TokenUsage

MISMATCH = Noted("type_mismatch")
BAD_JSON = Noted("bad_json")
REFUSED = Noted("usage_refused")


def line(message: object = None, **more: object) -> dict[str, Any]:
    head = {"model": "q", "created_at": "2026-11-21T02:00:00.5Z"}
    return head | ({} if message is None else {"message": message}) | {"done": False} | more


def says(**message: object) -> dict[str, Any]:
    return line({"role": "assistant", "content": "", **message})


def done(**more: object) -> dict[str, Any]:
    return says() | {"done": True, "done_reason": "stop"} | more


def raw_of(value: object) -> bytes:
    return value if isinstance(value, bytes) else json.dumps(value).encode()


def decode(*lines: object) -> list[Event]:
    """Decode lines of one stream behind a first one that is left out of the result."""
    decoder = OllamaDecoder()
    decoder.decode(raw_of(says()), b"")
    return [event for given in lines for event in decoder.decode(raw_of(given), b"")]


STREAM = (
    b'{"model":"q","created_at":"2026-11-21T02:00:00Z","message":{"role":"assistant",'
    b'"content":"Hi"},"done":false}\n'
    b'{"model":"q","created_at":"2026-11-21T02:00:01Z","message":{"role":"assistant",'
    b'"content":""},"done":true,"done_reason":"stop","total_duration":900000000,'
    b'"load_duration":10000000,"prompt_eval_count":12,"prompt_eval_duration":50000000,'
    b'"eval_count":3,"eval_duration":60000000}\n'
)
"""The stream of WIRE §7.1, word for word."""
TIMES = TimingsReported(Timings(None, 50.0, 240.0, None, 60.0, 50.0, None))


def test_the_reference_stream_reads_as_text_finish_counts_and_times() -> None:
    decoder = OllamaDecoder()
    events = [e for part in STREAM.splitlines() for e in decoder.decode(part, b"")]
    assert events == [
        ModelNamed("q"),
        Started(),
        TextDelta("Hi"),
        Finished("stop"),
        UsageReported(TokenUsage(12, 3)),
        TIMES,
        Ended(),
    ]


def test_the_reference_stream_split_at_any_byte_meters_the_same() -> None:
    for at in range(len(STREAM) + 1):
        reading = StreamReading(OllamaDecoder(), Meter(0.0), NdjsonSplitter())
        for piece in (STREAM[:at], STREAM[at:]):
            reading.feed(piece, 1.0)
        meter = reading.meter
        assert (meter.ended, meter.frames, meter.content_frames) == (True, 2, 1)
        assert (meter.model, meter.finish_reason) == ("q", "stop")
        assert (meter.booked().usage, meter.booked().usage_source) == (
            TokenUsage(12, 3),
            "provider",
        )
        assert not meter.anomalies


CALL = {"function": {"name": "f", "arguments": {"a": 1}}}
LINES: dict[str, tuple[object, list[Event]]] = {
    "text": (says(content="é🐎"), [TextDelta("é🐎")]),
    "thinking": (says(thinking="hm"), [ReasoningDelta("hm")]),
    "thinking before text before calls": (
        says(content="t", thinking="r", tool_calls=[CALL]),
        [
            ReasoningDelta("r"),
            TextDelta("t"),
            ToolCallStarted(0, "call_202611210200005_0", "f"),
            ToolCallDelta(0, '{"a": 1}'),
        ],
    ),
    "nothing": (says(), []),
    "null content": (says(content=None, thinking=None, tool_calls=None), []),
    "no message": (line(), []),
    "null message": (line() | {"message": None}, []),
    "another model": (says(content="x") | {"model": "r"}, [ModelNamed("r"), TextDelta("x")]),
    "a model of no letter": (says(content="x") | {"model": "\u200b"}, [TextDelta("x")]),
    "unknown members": (says(content="x", images=None) | {"remote_host": "h"}, [TextDelta("x")]),
    "an error": ({"error": "ran out of memory"}, [Failed("ran out of memory")]),
    "an error with a status": (
        {"error": "busy", "status_code": 503},
        [Failed("busy", status=503)],
    ),
    "an error object": (
        {"error": {"message": "no", "type": "server_error"}},
        [Failed("no", "server_error", None, 500)],
    ),
    "an empty error": (says(content="x") | {"error": ""}, [TextDelta("x")]),
    "done alone": ({"done": True}, [Ended()]),
    "done without a reason": (done(done_reason=None), [Ended()]),
    "done with an empty reason": (done(done_reason=""), [Ended()]),
    "loaded": (done(done_reason="load"), [Finished("load"), Ended()]),
    "done with text": (
        done(message={"content": "."}),
        [TextDelta("."), Finished("stop"), Ended()],
    ),
    "cached, so no prompt count": (
        done(eval_count=3),
        [Finished("stop"), UsageReported(TokenUsage(None, 3)), Ended()],
    ),
    "explicit zeros": (
        done(prompt_eval_count=0, eval_count=0, eval_duration=0),
        [
            Finished("stop"),
            UsageReported(TokenUsage(0, 0)),
            TimingsReported(Timings(predicted_ms=0.0)),
            Ended(),
        ],
    ),
    "times without counts": (
        done(eval_duration=1_500_000),
        [Finished("stop"), TimingsReported(Timings(predicted_ms=1.5)), Ended()],
    ),
    "counts before the end count for nothing": (says() | {"eval_count": 3}, []),
    # odd
    "no json": (b"Ollama is running", [BAD_JSON]),
    "cut": (b'{"message":{"content":"a"', [BAD_JSON]),
    "a list": ([1], [MISMATCH]),
    "a string": ('"x"', [MISMATCH]),
    "nan": (b'{"message":{"content":"a"},"x":NaN}', [BAD_JSON, TextDelta("a")]),
    "bad utf-8": (b'{"message":{"content":"a\xff"}}', [TextDelta("a\ufffd")]),
    "a lone surrogate": (rb'{"message":{"content":"a\ud800"}}', [TextDelta("a\ufffd")]),
    "content is no string": (says(content=7, thinking="r"), [ReasoningDelta("r"), MISMATCH]),
    "message is no object": (line("hi"), [MISMATCH]),
    "done is no boolean": (says(content="x") | {"done": "true"}, [TextDelta("x"), MISMATCH]),
    "times beside what is odd": (
        done(model=7, prompt_eval_duration=2_000_000, eval_duration=1_500_000),
        [
            Finished("stop"),
            TimingsReported(Timings(prompt_ms=2.0, predicted_ms=1.5)),
            MISMATCH,
            Ended(),
        ],
    ),
    "a count is no integer": (done(eval_count=3.5), [Finished("stop"), REFUSED, Ended()]),
    "a count is negative": (done(eval_count=-1), [Finished("stop"), REFUSED, Ended()]),
    "a count is beyond belief": (
        done(eval_count=MAX_COUNT + 1),
        [Finished("stop"), REFUSED, Ended()],
    ),
    "a count is text": (done(prompt_eval_count="9"), [Finished("stop"), REFUSED, Ended()]),
    "input 0 with output": (
        done(prompt_eval_count=0, eval_count=2),
        [Finished("stop"), UsageReported(TokenUsage(0, 2)), Noted("suspect_usage"), Ended()],
    ),
    "a duration is no count": (
        done(eval_duration=-5, prompt_eval_duration=2_000_000),
        [Finished("stop"), TimingsReported(Timings(prompt_ms=2.0)), MISMATCH, Ended()],
    ),
    "a count twice with two values": (
        b'{"done":true,"eval_count":3,"prompt_eval_count":1,"eval_count":4}',
        [REFUSED, Ended()],
    ),
    "a count twice with one value": (
        b'{"done":true,"eval_count":3,"prompt_eval_count":1,"eval_count":3}',
        [UsageReported(TokenUsage(1, 3)), Ended()],
    ),
}


@pytest.mark.parametrize(("given_line", "events"), LINES.values(), ids=LINES.keys())
def test_a_line_reads_as_the_table_says(given_line: object, events: list[Event]) -> None:
    def told(all_events: list[Event]) -> tuple[list[Event], set[Event]]:
        notes = {e for e in all_events if isinstance(e, Noted)}
        return [e for e in all_events if not isinstance(e, Noted)], notes

    payload = b'"x"' if given_line == '"x"' else raw_of(given_line)
    assert told(decode(payload)) == told(events)


CALLS: dict[str, tuple[object, list[Event]]] = {
    "with an id": (
        {"id": "c9", **CALL},
        [ToolCallStarted(0, "c9", "f"), ToolCallDelta(0, '{"a": 1}')],
    ),
    "arguments as text": (
        {"id": "c", "function": {"name": "f", "arguments": '{"a":'}},
        [ToolCallStarted(0, "c", "f"), ToolCallDelta(0, '{"a":')],
    ),
    "no arguments": ({"id": "c", "function": {"name": "f"}}, [ToolCallStarted(0, "c", "f")]),
    "null arguments": (
        {"id": "c", "function": {"name": "f", "arguments": None}},
        [ToolCallStarted(0, "c", "f")],
    ),
    "empty arguments": (
        {"id": "c", "function": {"name": "f", "arguments": {}}},
        [ToolCallStarted(0, "c", "f"), ToolCallDelta(0, "{}")],
    ),
    "no function": ({"id": "c"}, [ToolCallStarted(0, "c", None)]),
    "name of another type": (
        {"id": "c", "function": {"name": 7, "arguments": {"b": [1, None]}}},
        [ToolCallStarted(0, "c", None), ToolCallDelta(0, '{"b":[1,null]}'), MISMATCH],
    ),
    "no function beside an odd id": (
        {"id": 7},
        [ToolCallStarted(0, "call_202611210200005_0", None), MISMATCH],
    ),
    "a call that is no object": ("f", [MISMATCH]),
}


@pytest.mark.parametrize(("call", "events"), CALLS.values(), ids=CALLS.keys())
def test_a_call_comes_whole(call: object, events: list[Event]) -> None:
    assert decode(says(tool_calls=[call])) == events


def test_arguments_keep_their_very_text() -> None:
    text = rb'{"n":12345678901234567890,"f":1.10,"u":"\u003c\ud83d\ude00","s" : [ ]}'
    (_, delta) = decode(
        b'{"message":{"tool_calls":[{"function":{"name":"f","arguments":' + text + b"}}]}}"
    )
    assert delta == ToolCallDelta(0, text.decode())


def test_calls_without_ids_get_stable_ones_that_differ_within_and_between_answers() -> None:
    def ids(created_at: str) -> list[str | None]:
        decoder = OllamaDecoder()
        events: list[Event] = []
        for second in ("1", "2"):
            given_line = says(tool_calls=[CALL, CALL]) | {"created_at": created_at + second}
            events.extend(decoder.decode(raw_of(given_line), b""))
        return [e.id for e in events if isinstance(e, ToolCallStarted)]

    first = ids("2026-11-21T02:00:00.123456789+01:00 and more")
    assert first == ids("2026-11-21T02:00:00.123456789+01:00 and more")
    assert [str(made).rpartition("_")[2] for made in first] == ["0", "1", "2", "3"]
    assert not set(first) & set(ids("2026-11-21T02:00:00.123456790+01:00"))
    assert all(len(str(made)) <= 40 for made in first), "OpenAI takes no longer ones"
    assert ids("") == [f"call_1_{number}" for number in range(4)], "the first call's time"
    assert ids("now")[0] == "call_1_0"


def test_calls_without_a_time_are_numbered() -> None:
    events = OllamaDecoder().decode(raw_of({"message": {"tool_calls": [CALL, CALL]}}), b"")
    assert [e.id for e in events if isinstance(e, ToolCallStarted)] == ["call_0", "call_1"]


def test_a_whole_answer_says_the_same_as_its_stream() -> None:
    answer = done(
        message={"role": "assistant", "content": "t", "thinking": "r", "tool_calls": [CALL]},
        prompt_eval_count=12,
        eval_count=3,
        prompt_eval_duration=50_000_000,
        eval_duration=60_000_000,
    )
    whole = OllamaDecoder().read_answer(raw_of(answer))
    assert whole is not None
    assert whole[-1] == Ended()
    assert list(whole) == list(OllamaDecoder().decode(raw_of(answer), b""))


WHOLE: dict[str, tuple[bytes, list[Event] | None]] = {
    "no json": (b"<html>", None),
    "cut": (b'{"message":', None),
    "two lines": (STREAM, None),
    "no object": (b"[]", None),
    "an error": (b'{"error":"no"}', [Failed("no"), Ended()]),
    "not said to be done": (
        b'{"message":{"content":"a"},"eval_count":3}',
        [Started(), TextDelta("a"), UsageReported(TokenUsage(None, 3)), Ended()],
    ),
    "odd": (
        b'{"message":{"content":"a"},"done":1,"done_reason":"stop"}',
        [Started(), TextDelta("a"), Finished("stop"), MISMATCH, Ended()],
    ),
    "a count twice": (b'{"eval_count":3,"eval_count":4,"done":true}', [REFUSED, Ended()]),
}


@pytest.mark.parametrize(("body", "events"), WHOLE.values(), ids=WHOLE.keys())
def test_an_odd_whole_answer_reads_as_the_table_says(
    body: bytes, events: list[Event] | None
) -> None:
    read = OllamaDecoder().read_answer(body)
    assert (None if read is None else list(read)) == events


_keys = st.sampled_from(
    "model created_at message role content thinking tool_calls function name arguments id done "
    "done_reason error prompt_eval_count eval_count prompt_eval_duration eval_duration".split()
)
_scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(st.characters(), max_size=5)
)
_json = st.recursive(
    _scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_keys, inner, max_size=6),
    max_leaves=30,
)


@given(st.lists(st.binary(min_size=1, max_size=40) | _json.map(raw_of), max_size=4))
def test_nothing_that_a_server_sends_makes_the_decoder_raise(payloads: list[bytes]) -> None:
    decoder = OllamaDecoder()
    for payload in payloads:
        events = [*decoder.decode(payload, b""), *(OllamaDecoder().read_answer(payload) or ())]
        for event in events:
            if isinstance(event, UsageReported):
                for count in (event.usage.input, event.usage.output):
                    assert count is None or 0 <= count <= MAX_COUNT
            if isinstance(event, TextDelta | ReasoningDelta):
                event.text.encode()
            if isinstance(event, ToolCallDelta):
                event.arguments.encode()
