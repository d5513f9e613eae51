"""The quick way of a plain frame against the whole way, over every recorded and scripted wire."""

from __future__ import annotations

import base64
import gzip
import itertools
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamgauge.core.dialects.openai.decode import ChatDecoder
from streamgauge.core.dialects.registry import dialect_of
from streamgauge.core.events import Event, ReasoningDelta, TextDelta
from streamgauge.core.meter import Meter
from streamgauge.core.passage import Hold, Turn
from streamgauge.core.reading import PieceKind, StreamReading
from streamgauge.core.relaying import Relaying
from streamgauge.core.sse import FrameKind, FrameSplitter

DATA = Path(__file__).parents[2] / "data"
CHAT = sorted(
    path.stem
    for pattern in ("chat_*", "completion*")
    for path in (DATA / "captures").glob(f"{pattern}.body")
)
GOLDEN = [*CHAT, *sorted(path.stem for path in (DATA / "captures").glob("messages_stream*.body"))]
_CASES = json.loads(gzip.decompress((DATA / "corpus" / "responses.json.gz").read_bytes()))["cases"]
CORPUS: dict[str, Mapping[str, Any]] = {case["id"]: case for case in _CASES}
_ENOUGH = 12_000
"""Bytes of a wire: the corpus has some of 50 MB, of which the rest is like the beginning."""

Frames = list[tuple[bytes, bytes]]


def scripted(case: str) -> bytes:
    """Return the body that a case of the corpus sends, the framing of a broken one within it."""
    sent = b""
    for step in CORPUS[case]["steps"]:
        if "b64" in step and len(sent) < 2 * _ENOUGH:
            piece = base64.b64decode(step["b64"])
            sent += piece * min(step.get("rep", 1), 1 + 2 * _ENOUGH // max(len(piece), 1))
    _, _, rest = sent.partition(b"\r\n\r\n")
    body = b""
    while rest:
        size, line, behind = rest.partition(b"\r\n")
        if not line or not re.fullmatch(rb"[0-9a-fA-F]+", size):
            break
        length = int(size, 16)
        body, rest = body + behind[:length], behind[length + 2 :]
    return (body + rest)[:_ENOUGH]


def frames_of(wire: bytes) -> Frames:
    """Return payload and event of each frame, and a whole answer as one: it is JSON as well."""
    found = FrameSplitter().feed(wire)
    told = [(f.payload, f.event) for f in found if f.kind is FrameKind.DATA and f.payload]
    return told or [(wire, b"")] * bool(wire)


def decoded(frames: Frames, plainly: bool | None) -> list[list[Event]]:
    """Return the events of each frame, the quick way always tried, never, or as it comes (None)."""
    decoder = ChatDecoder()
    told = []
    for payload, event in frames:
        if plainly is not None:
            decoder._plainly = plainly
        told.append(list(decoder.decode(payload, event)))
    return told


def check(frames: Frames) -> None:
    whole_way = decoded(frames, False)
    assert decoded(frames, None) == whole_way
    assert decoded(frames, True) == whole_way
    doubled = [frame for frame in frames for _ in range(2)]  # behind itself the quick way is on
    assert decoded(doubled, None) == decoded(doubled, False)


@pytest.mark.parametrize("case", CHAT)
def test_each_recorded_frame_says_the_same_either_way(
    capture: Callable[[str], bytes], case: str
) -> None:
    check(frames_of(capture(case)))


@pytest.mark.parametrize("case", CORPUS)
def test_each_scripted_frame_says_the_same_either_way(case: str) -> None:
    check(frames_of(scripted(case)))


# --- frames made up: near to a plain one, each member as it should be or otherwise ----------------

_TEXTS = st.sampled_from(["a", "", "ü", "\ud800", "x\0"]) | st.text(max_size=3)
_ODD = st.sampled_from([None, False, True, 0, 1, "", "a", [], {}, [{}], ["a"], 1.5])
_DETAILS = st.fixed_dictionaries(
    {},
    optional={
        "type": st.just("reasoning.text"),
        "text": _TEXTS | st.none(),
        "summary": st.just("s"),
        "signature": st.sampled_from([None, "", "S"]),
        "data": st.sampled_from([None, "x="]),
    },
)
_MEMBERS: dict[str, st.SearchStrategy[Any]] = {
    "role": st.sampled_from(["assistant", None]),
    "content": _TEXTS | st.none(),
    "reasoning_content": _TEXTS | st.none(),
    "reasoning": _TEXTS | st.none(),
    "reasoning_details": st.none() | st.lists(_DETAILS, max_size=2),
    "refusal": st.none() | _TEXTS,
    "tool_calls": st.none() | st.just([{"index": 0, "function": {"name": "f"}}]),
    "function_call": st.none(),
    "unknown": _ODD,
}
_CHOICE: dict[str, st.SearchStrategy[Any]] = {
    "index": st.sampled_from([0, 1, None, 7]),
    "message": st.none() | st.just({"content": "m"}),
    "text": st.none() | _TEXTS,
    "finish_reason": st.sampled_from([None, "stop", "error", ""]),
    "error": st.none() | st.just({"message": "no"}),
    "stop_reason": st.sampled_from([None, "###", 7]),
    "logprobs": _ODD,
}
_CHUNK: dict[str, st.SearchStrategy[Any]] = {
    "model": st.sampled_from(["m", "n", "", None, "m\u200b"]),
    "service_tier": st.sampled_from(["default", "flex", "", None]),
    "usage": st.none() | st.just({"prompt_tokens": 3, "completion_tokens": 1}),
    "timings": st.none() | st.just({"predicted_n": 3}),
    "error": st.none() | st.just({"message": "no"}) | st.just(""),
    "x_groq": st.none() | st.just({"usage": {"prompt_tokens": 3, "completion_tokens": 1}}),
    "id": _ODD,
}


def _object(
    members: dict[str, st.SearchStrategy[Any]], **more: st.SearchStrategy[Any]
) -> st.SearchStrategy[dict[str, Any]]:
    """Most often as it should be; else with a member of a type that no server sends."""
    optional = {
        name: value if name == "unknown" else value | value | value | _ODD
        for name, value in members.items()
    }
    return st.fixed_dictionaries(more, optional=optional)


_delta = _object(_MEMBERS) | st.fixed_dictionaries({"content": _TEXTS})
_choice = (
    _object(_CHOICE, delta=_delta) | st.fixed_dictionaries({"delta": _delta}) | _object(_CHOICE)
)
_choices = st.lists(_choice, min_size=1, max_size=1) | st.lists(_choice, max_size=3) | _ODD
_chunks = (
    _object(_CHUNK, choices=_choices)
    | st.fixed_dictionaries({"choices": _choices})
    | _object(_CHUNK)
)
_payloads = (
    _chunks.map(lambda value: json.dumps(value).encode())
    | _chunks.map(lambda value: json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))
    | st.sampled_from(
        [b"[DONE]", b"{", b"\xff", b"null", b'{"choices":[{"delta":{"content":"\xff"}}]}']
    )
)
_made = st.lists(st.tuples(_payloads, st.sampled_from([b"", b"", b"", b"error", b"x"])), max_size=6)


@given(_made)
def test_any_frame_says_the_same_either_way(frames: Frames) -> None:
    check(frames)


NEARLY: list[dict[str, Any]] = [
    {"delta": {"content": "a"}},
    {"delta": {"role": "assistant", "content": "a"}},
    {"delta": {"role": "assistant", "reasoning": "a"}},
    {"delta": {"role": None, "content": "a"}},
    {"delta": {"content": "a", "reasoning": "r"}},
    {"delta": {"content": "a", "reasoning_content": "r"}},
    {"delta": {"reasoning_content": "r", "reasoning": "s"}},
    {"delta": {"reasoning_content": "r", "reasoning": "r"}},
    {"delta": {"reasoning_content": "", "reasoning": "s"}},
    {"delta": {"content": "", "reasoning": "s"}},
    {"delta": {"content": "a", "reasoning_details": [{"text": "r"}]}},
    {"delta": {"reasoning": "r", "reasoning_details": [{"text": "r"}]}},
    {"delta": {"reasoning_details": [{"type": "reasoning.text", "text": "r"}]}},
    {"delta": {"content": ""}},
    {"delta": {}},
    {"index": 3, "delta": {"content": "a"}},
    {"index": 3, "delta": {"reasoning": "a"}},
    {"index": 0, "delta": {"content": "a"}, "finish_reason": "stop"},
]
BESIDE: list[dict[str, Any]] = [
    {},
    {"model": "m"},
    {"model": "n"},
    {"model": ""},
    {"service_tier": "flex"},
    {"service_tier": ""},
    {"usage": {"prompt_tokens": 3, "completion_tokens": 1}},
]


@pytest.mark.parametrize("choice", NEARLY)
@pytest.mark.parametrize("beside", BESIDE)
def test_a_frame_that_is_nearly_plain_says_the_same_either_way(
    choice: dict[str, Any], beside: dict[str, Any]
) -> None:
    plain = (b'{"choices":[{"delta":{"content":"a"}}],"model":"m"}', b"")
    frame = (json.dumps({"choices": [choice], **beside}).encode(), b"")
    role = (b'{"choices":[{"delta":{"role":"assistant"}}]}', b"")
    usage = (b'{"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1}}', b"")
    for frames in ([frame], [plain, frame], [plain, frame, frame, usage], [role, plain, frame]):
        check(frames)


def test_a_plain_frame_does_take_the_quick_way() -> None:
    decoder = ChatDecoder()
    for payload, told in (
        (b'{"choices":[{"index":3,"delta":{"content":"a"}}]}', TextDelta("a", 3)),
        (b'{"choices":[{"delta":{"content":"a","reasoning":""}}]}', TextDelta("a", 0)),
        (b'{"choices":[{"index":2,"delta":{"reasoning":"b"}}]}', ReasoningDelta("b", 2)),
        (b'{"choices":[{"delta":{"reasoning_content":"b"}}]}', ReasoningDelta("b", 0)),
        (
            b'{"choices":[{"delta":{"reasoning":"b","reasoning_details":[{"text":"b","signature":null}]}}]}',
            ReasoningDelta("b", 0),
        ),
    ):
        assert decoder.plain(payload, b"") == told
        decoder.decode(payload, b"")
        assert decoder._plainly


# --- one frame a read, all at once, byte by byte -------------------------------------------------

Seen = tuple[bytes, list[tuple[PieceKind, bytes]], object]
_NEVER_CUT = (PieceKind.KEEPALIVE, PieceKind.PART)


def state_of(meter: Meter) -> dict[str, object]:
    return {name: getattr(meter, name) for name in Meter.__slots__}


def read(endpoint: str, pieces: Iterable[bytes]) -> Seen:
    """Return the bytes, the frames with what they are, and all that the meter knows."""
    it = StreamReading(dialect_of(endpoint).decoder(endpoint, "openai"), Meter(0.0))
    found = [piece for data in pieces for piece in it.feed(data, 1.0)]
    # Cut behind a CR, the LF of the blank line comes as a piece of its own.
    framed = [
        (piece.kind, piece.raw.rstrip(b"\r\n")) for piece in found if piece.kind not in _NEVER_CUT
    ]
    return b"".join(piece.raw for piece in found), framed, (it.parsed, state_of(it.meter))


def relayed(endpoint: str, pieces: Iterable[bytes]) -> tuple[list[bytes], object]:
    """Return what the client gets, and what the relay knows at the end."""
    reading = StreamReading(dialect_of(endpoint).decoder(endpoint, "openai"), Meter(0.0))
    it = Relaying(
        reading, hide_usage=True, mode="comment", metadata=lambda: b": told\n", hold=Hold.COMMENTS
    )
    fed = [it.feed(data, 1.0) for data in pieces]
    turns = [turn for turn, _ in fed if turn is not Turn.NOTHING]
    sent = b"".join((*(out for _, out in fed), *it.take_held()))
    return _frames(sent), (
        turns,
        it.frames_out,
        _frames(it.error_frame),
        it.error_payload,
        state_of(it.meter),
    )


def _frames(wire: bytes) -> list[bytes]:
    """Return the frames without the blank lines round them, of which a cut CRLF may leave one more."""
    lines = wire.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return [frame for frame in re.split(rb"\n\n+", lines.strip(b"\n")) if frame]


def framewise(wire: bytes) -> Iterator[bytes]:
    rest = wire
    while rest:
        frame, blank, rest = rest.partition(b"\n\n")
        yield frame + blank


def bytewise(wire: bytes) -> Iterator[bytes]:
    return (wire[at : at + 1] for at in range(len(wire)))


def check_wire(endpoint: str, wire: bytes) -> None:
    whole = read(endpoint, [wire])
    sent = relayed(endpoint, [wire])
    for cut in (framewise, bytewise):
        assert read(endpoint, cut(wire)) == whole
        assert relayed(endpoint, cut(wire)) == sent


def endpoint_of(case: str) -> str:
    if case.startswith("messages"):
        return "messages"
    return "completions" if case.startswith("completion") else "chat/completions"


@pytest.mark.parametrize("case", GOLDEN)
def test_a_recorded_wire_reads_alike_frame_by_frame_whole_and_byte_by_byte(
    capture: Callable[[str], bytes], case: str
) -> None:
    check_wire(endpoint_of(case), capture(case))


@pytest.mark.parametrize("case", CORPUS)
def test_a_scripted_wire_reads_alike_frame_by_frame_whole_and_byte_by_byte(case: str) -> None:
    anthropic = CORPUS[case]["proto"] == "anthropic"
    check_wire("messages" if anthropic else "chat/completions", scripted(case))


@given(_made, st.sampled_from([b"\n", b"\r\n", b"\r"]), st.data())
def test_any_wire_reads_alike_frame_by_frame_whole_and_cut_anywhere(
    frames: Frames, end: bytes, data: st.DataObject
) -> None:
    wire = b"".join(
        (b"event: " + event + end if event else b"") + b"data: " + payload + end + end
        for payload, event in frames
    )
    check_wire("chat/completions", wire)
    places = data.draw(st.lists(st.integers(0, len(wire)), max_size=6).map(sorted))
    pieces = [wire[a:b] for a, b in itertools.pairwise([0, *places, len(wire)])]
    assert read("chat/completions", pieces) == read("chat/completions", [wire])
    assert relayed("chat/completions", pieces) == relayed("chat/completions", [wire])


@pytest.mark.parametrize(
    "wire",
    [
        b"data: a\rb\n\n",
        b"data: a\ny",
        b"data: a\n\n\n",
        b"data: a\n\ndata: b\n\n",
        b"data: a\ndata: b\n\n",
        b"event: x\ndata: a\n\n",
        b"event: x\nevent: y\ndata: a\n\n",
        b"event: x\r\ndata: a\n\n",
        b"event: x\n\n",
        b"event: data: a\n\n",
        b"data: \n\n",
        b"data:a\n\n",
        b"data: a\n",
        b"\ndata: a\n\n",
        b"\n\n",
        b"\n",
        b": data: a\n\n",
    ],
)
def test_what_is_taken_for_one_plain_frame_is_one(wire: bytes) -> None:
    splitter, other = FrameSplitter(), FrameSplitter()
    for each in (splitter, other):
        each.feed(b"data: first\n\n")
    taken = splitter.read_whole(wire)
    frames = other.feed(wire)
    if taken is not None:
        (frame,) = frames
        assert (frame.kind, frame.payload, frame.event) == (FrameKind.DATA, *taken)
    assert (taken is not None) == (wire in _PLAIN)
    assert [f.raw for f in splitter.feed(b"data: z\n\n")] == [b"data: z\n\n"]


_PLAIN = {b"event: x\ndata: a\n\n", b"data: \n\n"}
