"""The client's side of a translated stream: what each read brings, counts and leaves over."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from streamgauge.core.dialects.base import Telling
from streamgauge.core.dialects.codecs import CLIENTS, UPSTREAMS
from streamgauge.core.errors import ErrorCode, GatewayError
from streamgauge.core.meter import Meter
from streamgauge.core.passage import COMMENT_LIMIT, Hold, Passage, Turn
from streamgauge.core.reading import StreamReading
from streamgauge.core.sse import FrameTooLarge
from streamgauge.core.translating import Translating

from .playbook import DONE, FINISH, ROLE, USAGE, chunk, text
from .upstream_wires import PAIRS, event, heard, line
from .upstream_wires import UPSTREAMS as WIRES

ADDED = b'event: streamgauge\ndata: {"id":1}\n\n'
PING = b'event: ping\ndata: {"type":"ping","streamgauge":{}}\n\n'
BROKE = GatewayError(502, ErrorCode.UPSTREAM_ERROR, "broke")


def nothing() -> bytes:
    raise AssertionError("metadata was asked for")


def translating(
    client: Any = "openai",
    upstream: Any = "openai",
    *,
    mode: str = "off",
    metadata: Callable[[], bytes] = nothing,
    hold: Hold = Hold.COMMENTS,
) -> Translating:
    """Return the passage of a stream from `upstream` to `client`."""
    codec, reader = CLIENTS[client], UPSTREAMS[upstream]
    reading = StreamReading(reader.decoder(), Meter(0.0), reader.splitter())
    encoder = codec.encoder(Telling("id", "m", 1, include_usage=True))
    return Translating(
        reading, encoder, frame_end=codec.frame_end, hold=hold, mode=mode, metadata=metadata
    )


@pytest.mark.parametrize(("client", "upstream"), PAIRS)
def test_content_leaves_with_the_read_that_brought_it(client: str, upstream: str) -> None:
    it, wire = translating(client, upstream), WIRES[upstream]
    passed: Passage = it
    assert not passed.released
    passed.feed(wire.start, 1.0)
    for frame in wire.text:
        before = it.meter.content_frames
        turn, out = passed.feed(frame, 1.0)
        assert turn is Turn.NOTHING
        assert bool(out) is (it.meter.content_frames > before)
    assert it.meter.content_frames == 2
    assert (passed.released, passed.inside, passed.over) == (True, False, False)
    assert passed.take_held() == []
    assert passed.own_error(client) is None


@pytest.mark.parametrize(("client", "upstream"), PAIRS)
def test_a_stream_byte_by_byte_says_the_same_as_whole(client: str, upstream: str) -> None:
    stream = b"".join(WIRES[upstream].stream())
    whole, cut = translating(client, upstream), translating(client, upstream)
    _, said = whole.feed(stream, 1.0)
    pieces = [cut.feed(stream[n : n + 1], 1.0)[1] for n in range(len(stream))]
    assert b"".join(pieces) == said
    assert (cut.frames_out, cut.parsed) == (whole.frames_out, whole.parsed)
    assert heard(client, said).ended


@pytest.mark.parametrize("hold", [Hold.FRAMES, Hold.COMMENTS])
def test_what_was_held_before_the_content_can_be_taken(hold: Hold) -> None:
    it = translating("anthropic", hold=hold)
    _, said = it.feed(ROLE, 1.0)
    assert bool(said) is (hold is Hold.COMMENTS)
    held = it.take_held()
    assert b"".join([said, *held]).count(b"message_start") == 2  # its event, and its type
    assert (it.released, it.frames_out) == (True, 1)
    assert it.take_held() == []


def test_finish_and_usage_wait_for_the_marker() -> None:
    it = translating()
    it.feed(ROLE + text("a"), 1.0)
    assert not it.awaits_marker
    assert it.feed(FINISH, 1.0) == (Turn.NOTHING, b"")
    assert it.awaits_marker
    assert it.feed(USAGE, 1.0) == (Turn.NOTHING, b"")
    turn, out = it.feed(DONE, 1.0)
    assert turn is Turn.MARKER
    assert (heard("openai", out).usage, heard("openai", out).finish) == ((9, 4), "stop")
    assert (it.over, it.awaits_marker) == (True, False)


@pytest.mark.parametrize("late", [DONE, text("b"), USAGE, chunk(error="no"), b": ping\n\n"])
def test_late_bytes_after_the_end_change_nothing(late: bytes) -> None:
    it = translating()
    it.feed(text("a") + DONE, 1.0)
    frames = it.frames_out
    assert it.feed(late, 2.0) == (Turn.NOTHING, b"")
    assert (it.close(), it.frames_out) == (b"", frames)


def test_what_follows_the_marker_in_one_read_is_not_told() -> None:
    it, alone = translating(), translating()
    told = it.feed(text("a") + DONE + text("b"), 1.0)
    assert told == alone.feed(text("a") + DONE, 1.0)


@pytest.mark.parametrize(
    ("said", "client_hears"),
    [
        ({"content": "b"}, "b"),
        ({"content": "b", "tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]}, "b"),
        ({}, ""),
    ],
)
def test_a_frame_that_fails_is_told_up_to_its_error(said: Any, client_hears: str) -> None:
    it = translating()
    it.feed(ROLE, 1.0)
    failing = chunk(choices=[{"index": 0, "delta": said, "finish_reason": "error"}])
    turn, out = it.feed(failing, 1.0)
    assert turn is Turn.ERROR
    assert (it.over, it.awaits_marker, it.close()) == (True, False, b"")
    told = heard("openai", out)
    assert (told.text, told.finish, told.ended) == (client_hears, None, False)


@pytest.mark.parametrize(
    ("upstream", "empty"),
    [
        ("openai", ROLE + USAGE + DONE),
        ("openai", DONE),
        ("anthropic", WIRES["anthropic"].start + event("message_stop")),
        ("ollama", line(done=True)),
    ],
)
def test_a_marker_behind_nothing_is_an_error(upstream: str, empty: bytes) -> None:
    it = translating("anthropic", upstream, mode="comment")
    turn, out = it.feed(empty, 1.0)
    assert (turn, it.over) == (Turn.ERROR, True)
    assert b"message_stop" not in out
    assert it.meter.failed is not None
    assert it.meter.failed.message == "the upstream's answer was empty"


@pytest.mark.parametrize("client", ["openai", "anthropic", "simple", "frames"])
def test_a_bare_marker_says_nothing_so_that_its_error_can_have_a_status(client: str) -> None:
    it = translating(client)
    assert it.feed(DONE, 1.0) == (Turn.ERROR, b"")
    assert (it.released, it.frames_out) == (False, 0)


@pytest.mark.parametrize("ending", [FINISH + DONE, text("a") + DONE])
def test_a_finish_or_a_word_alone_is_an_answer(ending: bytes) -> None:
    it = translating("anthropic")
    turn, out = it.feed(ROLE + ending, 1.0)
    assert turn is Turn.MARKER
    assert heard("anthropic", out).finish == "end_turn"
    assert it.meter.failed is None


@pytest.mark.parametrize(
    ("client", "mode", "added", "counted"),
    [
        ("openai", "comment", b": streamgauge {}\n", 0),
        ("openai", "chunk", b"data: {}\n\n", 1),
        ("openai", "event", ADDED, 1),
        ("openai", "after_done", ADDED, 1),
        ("anthropic", "comment", b": streamgauge {}\n", 0),
        ("anthropic", "chunk", PING, 0),
        ("anthropic", "event", ADDED, 1),
        ("anthropic", "after_done", ADDED, 1),
        ("frames", "comment", b": streamgauge {}\n", 0),
        ("frames", "event", ADDED, 1),
        ("simple", "comment", b'{"type":"metadata"}\n', 1),
    ],
)
def test_metadata_stands_beside_the_marker_and_a_ping_is_not_counted(
    client: str, mode: str, added: bytes, counted: int
) -> None:
    plain, it = translating(client), translating(client, mode=mode, metadata=lambda: added)
    stream = b"".join(WIRES["openai"].stream())
    (_, bare), (_, out) = plain.feed(stream, 1.0), it.feed(stream, 1.0)
    assert out.replace(added, b"") == bare
    assert out.count(added) == 1
    assert out.endswith(added) is (mode == "after_done")
    assert it.frames_out == plain.frames_out + counted


def test_the_upstreams_keep_alives_stay_behind_and_are_no_progress() -> None:
    it = translating()
    for alive in (b": thinking\n\n", b"\n", b"event: ping\ndata: {}\n\n"):
        assert it.feed(alive, 1.0) == (Turn.NOTHING, b"")
        assert (it.progress, it.released) == (False, False)
    it.feed(text("a"), 1.0)
    assert it.progress
    it.feed(b": thinking\n\n", 1.0)
    assert not it.progress


def test_too_many_keep_alives_in_a_row_are_a_flood() -> None:
    it = translating()
    megabyte = b":" + b"x" * (1024 * 1024 - 3) + b"\n\n"
    for _ in range(COMMENT_LIMIT // len(megabyte)):
        it.feed(megabyte, 1.0)
    assert not it.flooded
    it.feed(b":\n\n", 1.0)
    assert it.flooded
    it.feed(text("a"), 1.0)
    assert not it.flooded


def test_a_piece_of_a_large_frame_is_progress_and_says_nothing() -> None:
    it = translating()
    assert it.feed(b"data: " + b"x" * 70_000, 1.0) == (Turn.NOTHING, b"")
    assert (it.progress, it.inside, it.inside_data, it.parsed) == (True, False, False, 0)


def test_a_frame_beyond_the_cap_is_raised() -> None:
    it = translating("openai", "ollama")
    with pytest.raises(FrameTooLarge):
        it.feed(b"x" * (32 * 1024 * 1024 + 1), 1.0)


def test_a_muted_stream_is_metered_and_says_no_more() -> None:
    it = translating()
    it.feed(text("a"), 1.0)
    it.mute()
    assert it.feed(text("b") + FINISH + USAGE + DONE, 1.0) == (Turn.NOTHING, b"")
    assert (it.meter.content_frames, it.meter.ended, it.frames_out) == (2, True, 2)
    assert (it.awaits_marker, it.close()) == (False, b"")


@pytest.mark.parametrize("client", ["openai", "anthropic", "simple", "frames"])
def test_an_answer_that_finished_is_closed_and_one_that_did_not_is_not(client: str) -> None:
    it = translating(client, mode="comment")
    _, begun = it.feed(ROLE + text("a"), 1.0)
    assert it.close() == b""
    it.feed(FINISH, 1.0)
    before, closing = it.frames_out, it.close()
    told = heard(client, begun + closing)
    assert (told.text, told.ended, it.over) == ("a", True, True)
    assert it.frames_out == before + closing.count(CLIENTS[client].frame_end)
    assert it.close() == b""


@pytest.mark.parametrize(
    ("client", "alive", "frames"),
    [
        ("openai", b"own", None),
        ("anthropic", b"own", None),
        ("simple", b'{"type":"status","status":"writing"}\n', 1),
        ("frames", b": keep-alive\n", 1),
    ],
)
def test_a_self_ending_encoder_says_its_own_error_and_sign_of_life(
    client: str, alive: bytes, frames: int | None
) -> None:
    it = translating(client)
    _, begun = it.feed(text("a"), 1.0)
    before = it.frames_out
    assert it.keep_alive(b"own") == alive
    ending = it.fail(BROKE)
    if frames is None:
        assert (ending, it.frames_out) == (None, before)
        return
    assert ending is not None
    assert heard(client, begun + ending).error == "broke"
    assert it.frames_out == before + frames


@pytest.mark.parametrize("choices", [(0, 1), (1, 0)])
def test_an_answer_has_finished_only_when_each_of_its_choices_has(choices: tuple[int, int]) -> None:
    first, second = choices
    it = translating()
    it.feed(_piece(first, "a") + _piece(second, "b"), 1.0)
    it.feed(_finish(first), 1.0)
    assert (it.awaits_marker, it.close()) == (False, b"")
    it.feed(_finish(second), 1.0)
    assert it.awaits_marker
    assert it.close().count(b'"finish_reason":"stop"') == 2


def _piece(choice: int, said: str) -> bytes:
    return chunk(choices=[{"index": choice, "delta": {"content": said}}])


def _finish(choice: int) -> bytes:
    return chunk(choices=[{"index": choice, "delta": {}, "finish_reason": "stop"}])
