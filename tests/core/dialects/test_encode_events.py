"""Any answer encoded and decoded again by the same dialect is the same answer, piece by piece."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from dataclasses import replace
from functools import reduce
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamgauge.core.assembly import AssembledMessage, Assembly, Block
from streamgauge.core.conversation import RedactedThought, Refusal, Text, Thought, ToolUse
from streamgauge.core.dialects.anthropic.decode import MessagesDecoder
from streamgauge.core.dialects.anthropic.encode import MessagesEncoder
from streamgauge.core.dialects.anthropic.whole import write_answer as write_message
from streamgauge.core.dialects.base import Decoder, Telling
from streamgauge.core.dialects.finish import kept_finish, told_finish
from streamgauge.core.dialects.openai.decode import ChatDecoder
from streamgauge.core.dialects.openai.encode import ChatEncoder
from streamgauge.core.dialects.openai.whole import write_answer as write_completion
from streamgauge.core.events import (
    Ended,
    Event,
    Finished,
    ReasoningDelta,
    Started,
    TextDelta,
    ThoughtRedacted,
    ThoughtSigned,
    ToolCallDelta,
    ToolCallStarted,
    UsageReported,
)
from streamgauge.core.sse import FrameKind, FrameSplitter
from streamgauge.core.usage import TokenUsage

from ...grammar_check import OURS, legal
from .sdk import told_by_anthropic, told_by_openai

TELLING = Telling("a" * 20, "m", 1_790_000_000, include_usage=True)
USAGE = TokenUsage(12, 9, 8, 1, 2)
OVERLAP = {*OURS, "blocks_overlap"}
"""A call cut anywhere by anything else: what must overlap does."""

Frames = list[list[Event]]

_TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=4)
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 2**60) | st.sampled_from(["", '"\\{', "}]", "ü"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(_TEXT, inner, max_size=2),
    max_leaves=4,
)
_ARGUMENTS = st.dictionaries(_TEXT, _VALUES, max_size=2).map(json.dumps) | st.just("")


def _pieces(draw: st.DrawFn, text: str) -> list[str]:
    places = sorted({0, len(text), *draw(st.lists(st.integers(0, len(text)), max_size=4))})
    return [text[a:b] for a, b in itertools.pairwise(places)]


@st.composite
def _call(draw: st.DrawFn, index: int, choice: int, *, torn: bool) -> list[Event]:
    """One call: its name, `torn` in pieces, then its arguments; some the upstream runs itself."""
    name = draw(st.text("abc_", min_size=1, max_size=4))
    call_id = draw(st.sampled_from([None, f"call_{index}", "same"]))
    served = draw(st.integers(0, 5)) == 0
    named: list[Event] = [
        ToolCallStarted(index, None if n else call_id, piece, choice, served)
        for n, piece in enumerate(_pieces(draw, name) if torn else [name])
    ]
    return [*named, *(ToolCallDelta(index, p, choice) for p in _pieces(draw, draw(_ARGUMENTS)))]


def _spoken(choice: int) -> st.SearchStrategy[list[Event]]:
    one = st.one_of(
        st.builds(TextDelta, _TEXT, st.just(choice)),
        st.builds(TextDelta, _TEXT, st.just(choice), st.just(True)),
        st.builds(ReasoningDelta, _TEXT, st.just(choice)),
        st.builds(ThoughtSigned, _TEXT, st.just(choice)),
        st.builds(ThoughtRedacted, _TEXT, st.just(choice)),
        st.just(Started()),
    )
    return one.map(lambda event: [event])


@st.composite
def _answers(draw: st.DrawFn, *, choices: int = 1, interleaved: bool = False) -> Frames:
    """An answer's frames. `interleaved`: calls go on while others, and text, come between."""
    tracks: list[list[Event]] = []
    for choice in range(choices):
        tracks += draw(st.lists(_spoken(choice), max_size=5))
        calls = draw(st.integers(0, 3))
        for index in range(calls):
            tracks.insert(
                draw(st.integers(0, len(tracks))), draw(_call(index, choice, torn=not interleaved))
            )
    said: list[Event] = [Started()] if choices > 1 else []  # openai-python asks for choice 0 first
    while any(tracks):
        live = [track for track in tracks if track]
        track = live[draw(st.integers(0, len(live) - 1)) if interleaved else 0]
        said.append(track.pop(0))
    reason = st.sampled_from(["stop", "length", "tool_calls", "content_filter", "tool_use", "x"])
    stopped = st.sampled_from([None, None, "###"])
    for choice in range(choices):
        said += draw(
            st.lists(st.builds(Finished, reason, st.just(choice), stopped), min_size=1, max_size=2)
        )
    sizes = draw(st.lists(st.integers(1, 4), min_size=1, max_size=4))
    frames: Frames = []
    while said:
        size = sizes[len(frames) % len(sizes)]
        frames.append(said[:size])
        said = said[size:]
    return frames


def _decoded(decoder: Decoder, wire: bytes) -> list[Event]:
    frames = [f for f in FrameSplitter().feed(wire) if f.kind is FrameKind.DATA]
    return [e for f in frames for e in decoder.decode(f.payload or b"", f.event)]


def _assembled(events: Sequence[Event]) -> AssembledMessage:
    assembly = Assembly()
    assembly.add(events)
    return assembly.message


def _finish(message: AssembledMessage) -> str:
    first: Finished | None = None
    called = any(isinstance(block, ToolUse) for block in message.blocks)
    kept = reduce(kept_finish, message.finishes, first)
    return told_finish(kept, called=called, refused=message.refusal)


def _with_ids(blocks: Sequence[Block], prefix: str) -> list[Block]:
    """Return the blocks with the ids that are made for calls, which have none or one twice."""
    taken: list[str] = []
    told: list[Block] = []
    for block in blocks:
        if isinstance(block, ToolUse):
            made = f"{prefix}_{TELLING.id}_{len(taken)}"
            taken.append(made if not block.id or block.id in taken else block.id)
        told.append(replace(block, id=taken[-1]) if isinstance(block, ToolUse) else block)
    return told


def _as_anthropic(message: AssembledMessage) -> list[Block]:
    """Return the blocks as a message can say them: a refusal is text there."""
    told: list[Block] = []
    for block in _with_ids(message.blocks, "toolu"):
        text = block.text if isinstance(block, Text | Refusal) else None
        if text is not None and told and isinstance(last := told[-1], Text):
            told[-1] = Text(last.text + text)
        else:
            told.append(block if text is None else Text(text))
    return told


def _as_openai(message: AssembledMessage) -> list[list[Any]]:
    """Return what a choice can say: text, refusal, reasoning, what signs or hides it, calls."""
    blocks = _with_ids(message.blocks, "call")
    texts = ["".join(b.text for b in blocks if isinstance(b, k)) for k in (Text, Refusal, Thought)]
    signed = [
        b.data if isinstance(b, RedactedThought) else b.signature
        for b in blocks
        if isinstance(b, RedactedThought) or (isinstance(b, Thought) and b.signature is not None)
    ]
    return [texts, signed, [b for b in blocks if isinstance(b, ToolUse)]]


def _stream(encoder: MessagesEncoder | ChatEncoder, frames: Frames) -> bytes:
    return b"".join(encoder.encode(events) for events in frames) + encoder.end(USAGE)


def _usage(events: Sequence[Event]) -> TokenUsage:
    return [e.usage for e in events if isinstance(e, UsageReported)][-1]


def _check_anthropic(frames: Frames, odd: set[str]) -> None:
    message = _assembled([event for events in frames for event in events])
    encoder = MessagesEncoder(TELLING)
    wire = _stream(encoder, frames)
    legal("anthropic", wire, odd=odd)
    decoded = _decoded(MessagesDecoder(), wire)
    again = _assembled(decoded)
    assert list(again.blocks) == _as_anthropic(message)
    assert (_finish(again), again.others) == (_finish(message), ())
    assert isinstance(decoded[-1], Ended)
    assert _usage(decoded) == USAGE
    whole = write_message(message, TELLING, USAGE)
    read = MessagesDecoder().read_answer(whole)
    assert read is not None
    assert _usage(read) == USAGE
    assert _parsed(_assembled(read).blocks) == _parsed(again.blocks)


def _check_openai(frames: Frames, odd: set[str]) -> None:
    message = _assembled([event for events in frames for event in events])
    wire = _stream(ChatEncoder(TELLING), frames)
    legal("openai", wire, odd=odd)
    decoded = _decoded(ChatDecoder(), wire)
    again = _assembled(decoded)
    told = [_as_openai(each) for each in (message, *message.others)]
    if not message.others:
        assert [_as_openai(again)] == told
    assert [_finish(each) for each in (again, *again.others)] == [
        _finish(each) for each in (message, *message.others)
    ]
    assert isinstance(decoded[-1], Ended)
    assert _usage(decoded) == USAGE
    whole = write_completion(message, TELLING, USAGE)
    read = ChatDecoder().read_answer(whole)
    assert read is not None
    assert _usage(read) == USAGE
    if not message.others:
        assert _as_openai(_assembled(read)) == told[0]


def _parsed(blocks: Sequence[Block]) -> list[Any]:
    return [
        (b.id, b.name, json.loads(b.arguments)) if isinstance(b, ToolUse) else b for b in blocks
    ]


@given(_answers())
def test_an_answer_told_in_turn_comes_back_from_anthropic_events(frames: Frames) -> None:
    _check_anthropic(frames, OVERLAP)


@given(_answers(choices=2, interleaved=True))
def test_an_interleaved_answer_comes_back_from_anthropic_events(frames: Frames) -> None:
    _check_anthropic(frames, OVERLAP)


@given(_answers())
def test_an_answer_told_in_turn_comes_back_from_chat_chunks(frames: Frames) -> None:
    _check_openai(frames, set(OURS))


@given(_answers(choices=2, interleaved=True))
def test_an_interleaved_answer_comes_back_from_chat_chunks(frames: Frames) -> None:
    _check_openai(frames, set(OURS))


@settings(max_examples=15)
@given(_answers(choices=2, interleaved=True))
def test_the_sdks_understand_a_whole_answer_as_they_do_its_stream(frames: Frames) -> None:
    message = _assembled([event for events in frames for event in events])
    events, chunks = (
        _stream(MessagesEncoder(TELLING), frames),
        _stream(ChatEncoder(TELLING), frames),
    )
    assert told_by_anthropic(write_message(message, TELLING, USAGE)) == told_by_anthropic(events)
    assert told_by_openai(write_completion(message, TELLING, USAGE)) == told_by_openai(chunks)


@given(_answers(choices=2, interleaved=True), st.booleans())
def test_how_events_share_frames_changes_nothing(frames: Frames, together: bool) -> None:
    events = [event for part in frames for event in part]
    others = [events] if together else [[event] for event in events]
    for make in (MessagesEncoder, ChatEncoder):
        assert _stream(make(TELLING), others) == _stream(make(TELLING), frames)


@given(_answers(interleaved=True))
def test_no_piece_of_content_is_held_but_that_of_a_nameless_call(frames: Frames) -> None:
    for make in (MessagesEncoder, ChatEncoder):
        encoder = make(TELLING)
        served: set[int] = set()
        for event in (event for part in frames for event in part):
            said = encoder.encode((event,))
            if isinstance(event, ToolCallStarted) and event.served:
                served.add(event.index)
            piece = getattr(event, "text", None) or getattr(event, "arguments", None)
            if piece and getattr(event, "index", None) not in served:
                assert json.dumps(piece, ensure_ascii=False)[1:-1].encode()[:1] in said


@pytest.mark.parametrize("make", [MessagesEncoder, ChatEncoder])
def test_an_answer_is_cut_anywhere_without_an_end(
    make: type[MessagesEncoder | ChatEncoder],
) -> None:
    frames: Frames = [
        [Started()],
        [ReasoningDelta("r"), ThoughtSigned("S")],
        [TextDelta("a")],
        [ToolCallStarted(0, "t", "f"), ToolCallDelta(0, "{}")],
    ]
    encoder = make(TELLING)
    wire = b"".join(encoder.encode(events) for events in frames)
    assert not encoder.finished
    assert not any(end in wire for end in (b"message_delta", b"message_stop", b"[DONE]"))
