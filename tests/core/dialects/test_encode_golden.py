"""Every recorded answer in the other dialect: the official SDKs assemble what they do of the original."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from streamgauge.core.assembly import Assembly
from streamgauge.core.dialects.anthropic.encode import MessagesEncoder
from streamgauge.core.dialects.anthropic.whole import write_answer as write_message
from streamgauge.core.dialects.base import Encoder, Telling
from streamgauge.core.dialects.openai.encode import ChatEncoder
from streamgauge.core.dialects.openai.whole import write_answer as write_completion
from streamgauge.core.dialects.registry import DIALECTS, dialect_of
from streamgauge.core.errors import ErrorCode, GatewayError
from streamgauge.core.events import Ended, Event
from streamgauge.core.meter import Meter
from streamgauge.core.sse import FrameKind, FrameSplitter

from ...grammar_check import legal
from .sdk import Told, told_by_anthropic, told_by_openai

CAPTURES = Path(__file__).parents[2] / "data" / "captures"


def _named(*patterns: str) -> list[str]:
    return sorted(p.stem for pattern in patterns for p in CAPTURES.glob(pattern + ".body"))


CUT = ["chat_stream_client_stop", "messages_stream_client_stop"]
CHAT = sorted({*_named("chat_stream_*", "chat_nonstream*")} - {*CUT})
MESSAGES = sorted({*_named("messages_stream*", "messages_nonstream*")} - {*CUT})
ERROR = GatewayError(502, ErrorCode.STREAM_INCOMPLETE, "the upstream ended early")
TELLING = Telling("a" * 20, "m", 1_790_000_000, include_usage=True)

Capture = Callable[[str], bytes]
Frames = list[list[Event]]


def frames_of(endpoint: str, body: bytes) -> Frames:
    """Return the events of each frame; an answer that is no stream is one frame."""
    dialect = dialect_of(endpoint)
    if body.startswith(b"{"):
        read = dialect.read_answer(endpoint, "openai", body)
        assert read is not None
        return [list(read)]
    decoder = dialect.decoder(endpoint, "openai")
    return [
        list(decoder.decode(frame.payload, frame.event))
        for frame in FrameSplitter().feed(body)
        if frame.kind is FrameKind.DATA and frame.payload
    ]


def metered(frames: Frames) -> Meter:
    meter = Meter(0.0)
    for events in frames:
        meter.observe(events, 1.0)
    return meter


def encoded(frames: Frames, encoder: Encoder) -> bytes:
    """Return the stream that the encoder makes, the end marker of the original as its end."""
    said = [encoder.encode([e for e in events if not isinstance(e, Ended)]) for events in frames]
    assert encoder.finished
    return b"".join(said) + encoder.end(metered(frames).booked().usage)


def assembled(frames: Frames) -> Assembly:
    assembly = Assembly()
    for events in frames:
        assembly.add(events)
    return assembly


def ends_of(endpoint: str, body: bytes) -> Iterator[tuple[Told, str]]:
    """Yield what each client understands of the answer: OpenAI's and Anthropic's, both ways."""
    frames = frames_of(endpoint, body)
    usage, message = metered(frames).booked().usage, assembled(frames).message
    events, chunks = (
        encoded(frames, MessagesEncoder(TELLING)),
        encoded(frames, ChatEncoder(TELLING)),
    )
    legal("anthropic", events, odd=())
    legal("openai", chunks, odd=())
    yield told_by_anthropic(events), "events"
    yield told_by_openai(chunks), "chunks"
    yield told_by_anthropic(write_message(message, TELLING, usage)), "message"
    yield told_by_openai(write_completion(message, TELLING, usage)), "completion"


@pytest.mark.parametrize("case", CHAT)
def test_a_recorded_chat_answer_is_understood_alike_in_every_form(
    capture: Capture, case: str
) -> None:
    body = capture(case)
    original = told_by_openai(body)
    assert original.text or original.calls
    for told, form in ends_of("chat/completions", body):
        # An original without usage has timings, of which ours is made.
        tokens = told.tokens if original.tokens == (None, None, None) else original.tokens
        assert told == replace(original, tokens=tokens), form


@pytest.mark.parametrize("case", MESSAGES)
def test_a_recorded_message_is_understood_alike_in_every_form(capture: Capture, case: str) -> None:
    body = capture(case)
    original = told_by_anthropic(body)
    assert original.text or original.calls
    for told, form in ends_of("messages", body):
        assert told == original, form


@pytest.mark.parametrize("case", CUT)
def test_a_recorded_answer_that_was_cut_gets_no_end_from_us(capture: Capture, case: str) -> None:
    endpoint = "messages" if case.startswith("messages") else "chat/completions"
    frames = frames_of(endpoint, capture(case))
    for encoder, name in (
        (MessagesEncoder(TELLING), "anthropic"),
        (ChatEncoder(TELLING), "openai"),
    ):
        wire = b"".join(encoder.encode(events) for events in frames)
        assert wire
        assert not encoder.finished
        error = DIALECTS[name].error_frame(ERROR, "r")
        legal(name, wire + error, odd=())
        assert not any(end in wire for end in (b"message_delta", b"_stop", b"[DONE]", b'"stop"'))
