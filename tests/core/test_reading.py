"""One stream being read: what each piece is, and a meter that cannot harm it (SPEC §4.8, §5.4)."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from streamgauge.core.dialects.registry import dialect_of
from streamgauge.core.events import Event, TextDelta
from streamgauge.core.meter import Meter
from streamgauge.core.reading import PieceKind, StreamReading
from streamgauge.core.sse import READ_UP_TO

from .playbook import DONE, FINISH, ROLE, USAGE, Play, chat_request, chunk, text

CONTENT, DATA, KEEPALIVE = PieceKind.CONTENT, PieceKind.DATA, PieceKind.KEEPALIVE
MARKER, ERROR, USAGE_ONLY, PART = PieceKind.MARKER, PieceKind.ERROR, PieceKind.USAGE, PieceKind.PART


def reading(endpoint: str = "chat/completions") -> StreamReading:
    return StreamReading(dialect_of(endpoint).decoder(endpoint, "openai"), Meter(0.0))


def kinds(it: StreamReading, *pieces: bytes) -> list[PieceKind]:
    return [piece.kind for wire in pieces for piece in it.feed(wire, 1.0)]


@pytest.mark.parametrize(
    ("frame", "kind"),
    [
        (text("a"), CONTENT),
        (text(""), DATA),
        (ROLE, DATA),
        (FINISH, DATA),
        (USAGE, USAGE_ONLY),
        (DONE, MARKER),
        (chunk(error="no"), ERROR),
        (b'event: error\ndata: {"message": "no"}\n\n', ERROR),
        (b": comment\n\n", KEEPALIVE),
        (b"\n", KEEPALIVE),
        (b"event: ping\n\n", KEEPALIVE),
        (b"event: ping\ndata: {}\n\n", KEEPALIVE),
        (b'data: {"type": "ping"}\n\n', KEEPALIVE),
        (b"id: 7\n\n", KEEPALIVE),
        (b"data\n\n", DATA),
        (b"data: {broken\n\n", DATA),
        (b"data: " + b"x" * 70_000, PART),
        (chunk(choices=[{"delta": {"content": "a"}, "finish_reason": "stop"}]), CONTENT),
        (chunk(choices=[{"delta": {"content": "a"}, "finish_reason": "error"}]), ERROR),
    ],
)
def test_each_frame_is_of_one_kind(frame: bytes, kind: PieceKind) -> None:
    it = reading()
    (piece,) = it.feed(frame, 1.0)
    assert (piece.kind, piece.raw) == (kind, frame)
    assert it.meter.frames == (0 if kind in (KEEPALIVE, PART) else 1)


def test_behind_the_marker_only_usage_still_counts() -> None:
    it = reading()
    kinds(it, text("a"), DONE, text("b"), FINISH, chunk(error="no"), DONE, USAGE)
    meter = it.meter
    assert (meter.content_frames, meter.finish_reason, meter.failed) == (1, None, None)
    assert meter.booked().usage_source == "provider"
    assert set(meter.anomalies) == {"data_after_marker", "second_marker", "usage_after_marker"}


def test_a_comment_behind_the_marker_is_no_anomaly() -> None:
    it = reading()
    kinds(it, DONE, b": bye\n\n", b"\n\n")
    assert not it.meter.anomalies


def test_an_oversize_frame_passes_unread_and_later_usage_is_read() -> None:
    it = reading()
    wire = b"data: " + b"x" * READ_UP_TO + b"\n\n"
    raw = b"".join(
        p.raw
        for at in range(0, len(wire), 1 << 20)
        for p in it.feed(wire[at : at + (1 << 20)], 1.0)
    )
    assert raw == wire
    assert kinds(it, USAGE, DONE) == [USAGE_ONLY, MARKER]
    assert (list(it.meter.anomalies), it.meter.frames) == (["oversize_line"], 3)


def test_a_removed_bom_is_noted() -> None:
    it = reading()
    assert kinds(it, b"\xef\xbb\xbf" + text("a")) == [CONTENT]
    assert list(it.meter.anomalies) == ["bom_removed"]


class Breaking:
    """A decoder that raises on every second frame."""

    def __init__(self) -> None:
        self.calls = 0

    def decode(self, payload: bytes, event: bytes) -> Sequence[Event]:
        """Raise, or say a piece of text."""
        self.calls += 1
        if self.calls % 2:
            raise ZeroDivisionError
        return (TextDelta("a"),)


def test_a_decoder_that_raises_is_an_anomaly_and_harms_no_byte() -> None:
    it = StreamReading(Breaking(), Meter(0.0))
    pieces = [piece for wire in (ROLE, text("a"), text("b")) for piece in it.feed(wire, 1.0)]
    assert [piece.raw for piece in pieces] == [ROLE, text("a"), text("b")]
    assert [piece.kind for piece in pieces] == [DATA, CONTENT, DATA]
    assert list(it.meter.anomalies) == ["meter_error"]
    assert (it.meter.frames, it.meter.content_frames, it.parsed) == (3, 1, 3)


BAD_USAGE = [-1, 1.5, "7", True, 2**63, [1], {"a": 1}]


@pytest.mark.parametrize("value", BAD_USAGE, ids=[repr(value) for value in BAD_USAGE])
def test_an_impossible_count_changes_no_byte_and_is_not_booked(value: object) -> None:
    bad = chunk(choices=[], usage={"prompt_tokens": 3, "completion_tokens": value})
    play = Play(chat_request(stream_options={"include_usage": True}))
    play.stream(text("a"), FINISH, bad, DONE)
    play.do("tick", at=1.0)
    assert play.body == text("a") + FINISH + bad + DONE
    row = play.row
    assert (row.usage_source, row.output_tokens, row.input_tokens) == ("counted", 1, None)
    assert row.anomalies == ["usage_refused"]


def test_an_oversize_frame_ends_as_a_frame_with_data() -> None:
    it = reading()
    wire = b"data: " + b"x" * READ_UP_TO + b"\n\n"
    assert kinds(it, wire[:-1], wire[-1:]) == [PART, DATA]
    assert (it.parsed, it.inside) == (0, False)


def test_each_frame_is_counted_and_only_those_with_data_are_parsed() -> None:
    it = reading()
    kinds(it, ROLE, b": ping\n\n", text("a"), b"event: ping\ndata: {}\n\n", FINISH, DONE)
    assert (it.meter.frames, it.parsed) == (4, 4)


def test_a_frame_that_is_no_content_keeps_its_payload_for_the_machine() -> None:
    it = reading()
    (error,) = it.feed(chunk(error="no"), 1.0)
    assert error.payload == chunk(error="no")[6:-2]


def test_the_moment_of_a_frame_is_that_of_its_last_byte() -> None:
    it = reading()
    it.feed(ROLE, 1.0)
    it.feed(text("a")[:9], 2.0)
    it.feed(text("a")[9:], 3.0)
    it.feed(text("b"), 4.0)
    assert (it.meter.first_content, it.meter.last_content) == (3.0, 4.0)


def test_a_ping_counts_in_nothing_and_a_chunk_that_is_named_one_counts() -> None:
    it = reading()
    ping = b'data: {"type":"ping","choices":[{"index":0,"delta":{"content":"a"}}]}\n\n'
    assert kinds(it, ROLE, ping, b"event: ping\n" + text("a")) == [DATA, KEEPALIVE, CONTENT]
    assert (it.meter.frames, it.meter.content_frames) == (2, 1)
