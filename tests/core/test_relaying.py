"""The client's side of a stream: what is held, hidden, added, and what ends it."""

from __future__ import annotations

from typing import Any

import pytest

from streamgauge.core.dialects.registry import dialect_of
from streamgauge.core.meter import Meter
from streamgauge.core.passage import COMMENT_LIMIT, Hold, Turn
from streamgauge.core.reading import StreamReading
from streamgauge.core.relaying import HOLD_BYTES, HOLD_FRAMES, Relaying

from .playbook import DONE, FINISH, ROLE, USAGE, chunk, text

META = b": streamgauge {}\n"
PING = b'event: ping\ndata: {"type": "ping"}\n\n'


def relaying(**more: Any) -> Relaying:
    """Return the relaying of an OpenAI stream; metadata is META where a mode is given."""
    reading = StreamReading(
        dialect_of("chat/completions").decoder("chat/completions", "openai"), Meter(0.0)
    )
    settings = {"hide_usage": False, "mode": "off", "metadata": lambda: META, "hold": Hold.COMMENTS}
    return Relaying(reading, **{**settings, **more})


def sent(it: Relaying, *pieces: bytes) -> list[bytes]:
    return [it.feed(piece, 1.0)[1] for piece in pieces]


# --- holding -------------------------------------------------------------------------------------


def test_comments_are_held_until_something_else_comes() -> None:
    it = relaying()
    assert sent(it, b": a\n\n", b":\n\n", PING) == [b"", b"", b""]
    assert not it.released
    assert sent(it, ROLE, b": b\n\n") == [b": a\n\n:\n\n" + PING + ROLE, b": b\n\n"]
    assert it.released


def test_what_comes_in_one_read_leaves_in_its_order() -> None:
    it = relaying()
    assert sent(it, b": a\n\n" + ROLE + b": b\n\n" + text("x")) == [
        b": a\n\n" + ROLE + b": b\n\n" + text("x")
    ]


def test_a_relaying_whose_head_is_out_holds_nothing() -> None:
    assert sent(relaying(hold=Hold.NOTHING), b": a\n\n") == [b": a\n\n"]


@pytest.mark.parametrize("size", [4, HOLD_BYTES // 10])
def test_what_is_held_is_bounded_in_frames_and_bytes(size: int) -> None:
    it, comment = relaying(), b":" + b"x" * (size - 3) + b"\n\n"
    count = min(HOLD_FRAMES, HOLD_BYTES // size)
    assert b"".join(sent(it, *[comment] * count)) == b""
    assert sent(it, comment) == [comment * (count + 1)]
    assert sent(it, comment) == [comment]


def test_what_was_held_can_be_taken_once() -> None:
    it = relaying()
    sent(it, b": a\n\n")
    assert it.take_held() == [b": a\n\n"]
    assert it.take_held() == []


@pytest.mark.parametrize("first", [text("x"), FINISH, DONE, b"data: " + b"x" * 70_000])
def test_anything_but_a_keep_alive_releases(first: bytes) -> None:
    it = relaying()
    assert sent(it, b":\n\n", first)[1] == b":\n\n" + first


# --- hiding and adding ---------------------------------------------------------------------------


@pytest.mark.parametrize(("hide", "expected"), [(True, b""), (False, USAGE)])
def test_the_usage_frame_is_removed_where_it_is_ours(hide: bool, expected: bytes) -> None:
    it = relaying(hide_usage=hide, hold=Hold.NOTHING)
    assert sent(it, USAGE) == [expected]
    assert it.meter.booked().usage_source == "provider"
    assert it.frames_out == (0 if hide else 1)


def test_usage_on_a_frame_with_more_is_never_removed() -> None:
    usage = {"prompt_tokens": 1, "completion_tokens": 1}
    both = chunk(choices=[{"delta": {"content": "x"}, "index": 0}], usage=usage)
    finish = chunk(choices=[{"delta": {}, "finish_reason": "stop"}], usage=usage)
    it = relaying(hide_usage=True)
    assert sent(it, both, finish) == [both, finish]


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("off", DONE),
        ("comment", META + DONE),
        ("chunk", META + DONE),
        ("event", META + DONE),
        ("after_done", DONE + META),
    ],
)
@pytest.mark.parametrize("together", [True, False])
def test_metadata_stands_beside_the_marker(mode: str, expected: bytes, together: bool) -> None:
    it = relaying(mode=mode)
    pieces = [text("x") + DONE] if together else [text("x"), DONE]
    assert b"".join(sent(it, *pieces)) == text("x") + expected


def test_metadata_is_asked_for_only_at_the_marker() -> None:
    asked: list[bool] = []

    def metadata() -> bytes:
        asked.append(it.meter.ended)
        return META

    it = relaying(mode="comment", metadata=metadata)
    sent(it, ROLE, text("x"), USAGE)
    assert asked == []
    sent(it, DONE)
    assert asked == [True]


@pytest.mark.parametrize(
    ("added", "counted"),
    [
        (META, 0),
        (b'event: ping\ndata: {"type":"ping"}\n\n', 0),
        (b"data: {}\n\n", 1),
        (b"event: streamgauge\ndata: {}\n\n", 1),
        (b"", 0),
    ],
)
def test_of_metadata_only_a_frame_is_counted(added: bytes, counted: int) -> None:
    it = relaying(mode="event", metadata=lambda: added)
    sent(it, text("x"), DONE)
    assert it.frames_out == 2 + counted


# --- turns ---------------------------------------------------------------------------------------


def test_nothing_leaves_behind_the_marker() -> None:
    it = relaying()
    assert it.feed(text("x") + DONE + text("late"), 1.0) == (Turn.MARKER, text("x") + DONE)
    assert it.over
    assert it.feed(text("later") + DONE, 1.0) == (Turn.NOTHING, b"")
    assert sorted(it.meter.anomalies) == ["data_after_marker", "second_marker"]
    assert it.frames_out == 2


def test_an_error_is_kept_for_the_machine_and_not_sent() -> None:
    it, error = relaying(), chunk(error={"message": "no"})
    assert it.feed(text("x") + error + text("late") + DONE, 1.0) == (Turn.ERROR, text("x"))
    assert (it.error_frame, it.error_payload) == (error, error[6:-2])
    assert it.over


def test_held_comments_stay_held_before_an_error() -> None:
    it = relaying()
    turn, out = it.feed(b": a\n\n" + chunk(error="no"), 1.0)
    assert (turn, out, it.released) == (Turn.ERROR, b"", False)


def test_a_muted_relaying_only_meters() -> None:
    it = relaying()
    sent(it, b": held\n\n")
    it.mute()
    assert b"".join(sent(it, text("a"), text("b") + USAGE, DONE)) == b""
    assert it.take_held() == []
    assert (it.meter.content_frames, it.meter.ended) == (2, True)
    assert it.meter.booked().usage.output == 4
    assert (it.frames_out, it.inside) == (0, False)


# --- counts --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("piece", "progress"),
    [
        (b":\n\n", False),
        (PING, False),
        (b"\n", False),
        (ROLE, True),
        (text("x"), True),
        (b"data", False),
    ],
)
def test_keep_alives_are_no_progress(piece: bytes, progress: bool) -> None:
    it = relaying()
    it.feed(text("x"), 1.0)
    it.feed(piece, 1.0)
    assert it.progress is progress


def test_frames_with_data_are_counted_and_keep_alives_are_not() -> None:
    it = relaying()
    sent(
        it, b":\n\n", PING, ROLE, text("a") + b"\n\n" + text("b"), b"data\n\n", FINISH + USAGE, DONE
    )
    assert (it.frames_out, it.meter.frames) == (7, 7)


def test_a_large_frame_is_counted_once_and_marks_the_client_inside() -> None:
    it = relaying()
    large = chunk(choices=[{"delta": {"content": "x" * 100_000}, "index": 0}])
    assert sent(it, large[:70_000]) == [large[:70_000]]
    assert it.inside
    assert sent(it, large[70_000:]) == [large[70_000:]]
    assert (it.inside, it.frames_out, it.meter.content_frames) == (False, 1, 1)


def test_a_flood_of_comments_is_one_without_anything_between() -> None:
    comment = b":" + b"x" * 60_000 + b"\n\n"
    it = relaying(hold=Hold.NOTHING)
    for _ in range(COMMENT_LIMIT // len(comment)):
        it.feed(comment, 1.0)
    assert not it.flooded
    it.feed(text("x"), 1.0)
    it.feed(comment, 1.0)
    assert not it.flooded
    for _ in range(COMMENT_LIMIT // len(comment)):
        it.feed(comment, 1.0)
    assert it.flooded
