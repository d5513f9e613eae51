"""What an exchange may be given in any order: requests, facts, heads, pieces of every upstream's stream."""

from __future__ import annotations

import hypothesis.strategies as st

from streamgauge.core.attempt import Drain, Limits
from streamgauge.core.integrity import Integrity
from streamgauge.core.integrity_proof import Proof

from .playbook import (
    DONE,
    FINISH,
    PRICE,
    ROLE,
    SSE,
    USAGE,
    Play,
    chat_request,
    chunk,
    request_of,
    text,
)
from .upstream_wires import CLIENTS, UPSTREAMS

__all__ = [
    "ATTEMPTS",
    "DATA",
    "FACTS",
    "HEADS",
    "REQUESTS",
    "TRANSLATED",
    "WHOLES",
    "WHOLE_TRANSLATED",
    "stream_of",
]

REFUSAL = b'{"error": {"message": "unknown field stream_options"}}'
WHOLES = st.sampled_from(
    [REFUSAL, b'{"error": "broke"}', b'{"choices": [{"message": {"content": "x"}}]}', b"{}"]
)
"""Bodies that are one JSON document."""
MESSAGE = b'event: message_stop\ndata: {"type": "message_stop"}\n\n'
MESSAGE_PARTS = (
    b'event: message_start\ndata: {"type": "message_start", "message": {"id": "m", "model": "m", '
    b'"usage": {"input_tokens": 9, "output_tokens": 1}}}\n\n',
    b'event: content_block_delta\ndata: {"type": "content_block_delta", "index": 0, '
    b'"delta": {"type": "text_delta", "text": "a"}}\n\n',
    b'event: message_delta\ndata: {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, '
    b'"usage": {"output_tokens": 4}}\n\n',
)
REQUESTS = st.sampled_from(
    [
        chat_request(),
        chat_request(stream_options={"include_usage": True}),
        chat_request(stream=False),
        chat_request("messages", max_tokens=1),
        chat_request("completions", prompt="x"),
        chat_request("responses", input="x"),
    ]
)
ATTEMPTS = st.fixed_dictionaries(
    {
        "on_disconnect": st.sampled_from(["auto", "cancel", "drain"]),
        "price": st.sampled_from([None, PRICE]),
        "inject_usage": st.sampled_from(["true", "false", "force"]),
        "limits": st.sampled_from([Limits(), Limits(2, 2, 0), Limits(0, 0, 9)]),
        "drain": st.sampled_from([Drain(), Drain(3, 2)]),
        "running_usage": st.booleans(),
    }
)
FACTS = st.fixed_dictionaries(
    {
        "metadata": st.sampled_from("off comment chunk event after_done".split()),
        "metering": st.sampled_from([True, True, True, False]),
        "begin_first": st.sampled_from([True, True, False]),
        "keepalive_seconds": st.sampled_from([0.0, 1.0]),
        "proof": st.sampled_from([Proof(mode) for mode in Integrity]),
    }
)
TRANSLATED = st.tuples(
    st.sampled_from([request_of(client) for client in CLIENTS]),
    st.sampled_from(sorted(UPSTREAMS)),
)
WHOLE_TRANSLATED = st.tuples(
    st.sampled_from([request_of(client, stream=False) for client in CLIENTS]),
    st.sampled_from(sorted(UPSTREAMS)),
)
SAID = tuple(
    frame
    for wire in UPSTREAMS.values()
    for frame in (*wire.stream("text"), *wire.stream("call"), *wire.stream("thought"), wire.alive)
)
FRAMES = (
    ROLE,
    text("a"),
    text("b c"),
    FINISH,
    USAGE,
    DONE,
    MESSAGE,
    *MESSAGE_PARTS,
    chunk(error={"message": "broke"}),
    b": ping\n\n",
    b"\n",
    b"data: {broken\n\n",
    b'{"choices": [{"message": {"content": "x"}}]}',
    REFUSAL,
    b"data: " + b"x" * 66_000,
    chunk(choices=[{"index": 1, "delta": {"content": "b"}, "finish_reason": "stop"}]),
    chunk(choices=[{"index": 0, "delta": {"content": "b"}, "finish_reason": "error"}]),
    *dict.fromkeys(SAID),
)
FRAME = st.integers(0, len(FRAMES) - 1).map(lambda number: FRAMES[number])
DATA = st.one_of(
    FRAME,
    st.lists(FRAME, min_size=1, max_size=4).map(b"".join),
    st.tuples(FRAME, st.integers(1, 40)).map(lambda cut: cut[0][: cut[1]]),
)
HEADS = st.sampled_from(
    [
        (200, SSE, None),
        (200, SSE, None),
        (200, "application/json", None),
        (200, None, None),
        (200, "text/html", None),
        (400, "application/json", "9"),
        (500, "text/html", None),
        (302, None, None),
        (204, None, None),
        (200, "application/x-ndjson", None),
    ]
)


def stream_of(play: Play, count: int, whole: bool) -> list[bytes]:
    """Return a stream of `count` frames of text, with its usage and its end where it is whole."""
    if (dialect := play.facts.attempts[0].dialect) is not None:
        wire = UPSTREAMS[dialect]
        opened, said, *closed = wire.text if dialect == "anthropic" else (b"", wire.text[0])
        ended = [*closed[-1:], wire.finish["stop"], wire.usage, wire.end["stop"]]
        frames = [wire.start, opened, *[said] * count, *(ended if whole else [])]
        return [frame for frame in frames if frame]
    if play.facts.request.endpoint == "messages":
        start, text_delta, stop = MESSAGE_PARTS
        return [start, *[text_delta] * count, *([stop, MESSAGE] if whole else [])]
    return [*[text("a")] * count, *([FINISH, USAGE, DONE] if whole else [])]
