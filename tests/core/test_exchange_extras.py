"""What we add and hide: metadata, the usage frame, a JSON answer as a stream, relaying unread."""

from __future__ import annotations

import json
from typing import Any

import pytest

from streamgauge.core.actions import Commit
from streamgauge.core.record import Delivered, Status

from .playbook import (
    DONE,
    FINISH,
    MARK,
    PRICE,
    ROLE,
    USAGE,
    Play,
    chat_request,
    chunk,
    last_payload,
    text,
)

ASKED = chat_request(stream_options={"include_usage": True})
MESSAGES = chat_request("messages", max_tokens=5)
WIRE = (ROLE, text("a"), text("b"), FINISH, USAGE, DONE)
START = (
    b'event: message_start\ndata: {"type":"message_start","message":{"model":"m",'
    b'"usage":{"input_tokens":4,"output_tokens":1}}}\n\n'
)
DELTA = (
    b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,'
    b'"delta":{"type":"text_delta","text":"hi"}}\n\n'
)
STOP = (
    b'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"end_turn"},'
    b'"usage":{"output_tokens":7}}\n\n'
)
MESSAGE_STOP = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
MESSAGES_WIRE = (START, DELTA, STOP, MESSAGE_STOP)


# --- metadata ------------------------------------------------------------------------------------


def added(play: Play, wire: tuple[bytes, ...]) -> tuple[bytes, bool]:
    """Return what stands in the body beside `wire`, and whether it stands before the marker."""
    *before, marker = wire
    head = b"".join(before)
    assert play.body.startswith(head)
    rest = play.body[len(head) :]
    assert rest.count(marker) == 1
    front, back = rest.split(marker)
    assert not (front and back)
    return (front, True) if front else (back, False)


def metadata_in(extra: bytes) -> dict[str, Any]:
    if extra.startswith(MARK):
        assert extra.endswith(b"}\n")
        assert extra.count(b"\n") == 1
        return dict(json.loads(extra[len(MARK) :]))
    assert extra.endswith(b"\n\n")
    told = last_payload(extra)
    return dict(told.get("streamgauge", told))


def check_told(told: dict[str, Any], play: Play) -> None:
    row = play.row
    assert told.pop("request_id") == row.id
    assert {name: getattr(row, name) for name in told} == told
    assert {"input_tokens", "output_tokens", "usage_source", "cost_nano", "ttft_ms"} <= told.keys()


@pytest.mark.parametrize(
    ("mode", "before", "begins"),
    [
        ("comment", True, MARK),
        ("chunk", True, b"data: {"),
        ("event", True, b"event: streamgauge\ndata: {"),
        ("after_done", False, b"event: streamgauge\ndata: {"),
    ],
)
@pytest.mark.parametrize("cut", [False, True], ids=["framewise", "at once"])
@pytest.mark.parametrize(
    ("request_", "wire"), [(ASKED, WIRE), (MESSAGES, MESSAGES_WIRE)], ids=["openai", "anthropic"]
)
def test_metadata_is_the_rows_numbers_in_its_place(
    mode: str, before: bool, begins: bytes, cut: bool, request_: Any, wire: tuple[bytes, ...]
) -> None:
    play = Play(request_, attempt={"price": PRICE, "context_total": lambda: 100}, metadata=mode)
    play.head()
    for at, piece in enumerate([b"".join(wire)] if cut else wire, start=1):
        play.do("upstream_data", piece, at=at * 0.25)
    play.do("upstream_end", "complete", at=9.0)
    extra, stands_before = added(play, wire)
    assert stands_before is before
    if not (mode == "chunk" and request_ is MESSAGES):
        assert extra.startswith(begins)
    check_told(metadata_in(extra), play)
    is_frame = not extra.startswith((b":", b"event: ping"))
    assert play.row.frames_out == len(wire) + is_frame
    assert play.row.bytes_out == len(play.body)


def test_the_chunk_is_one_that_sdks_read() -> None:
    play = Play(ASKED, metadata="chunk")
    play.stream(*WIRE, end="complete")
    told = json.loads(added(play, WIRE)[0][6:])
    assert (told["object"], told["choices"]) == ("chat.completion.chunk", [])
    assert {"id", "created", "model", "streamgauge"} <= told.keys()


@pytest.mark.parametrize("request_", [chat_request(), ASKED], ids=["usage hidden", "usage shown"])
def test_the_chunk_has_the_id_and_the_time_of_the_others(request_: Any) -> None:
    play = Play(request_, metadata="chunk")
    play.stream(
        *(frame.replace(b'{"id"', b'{"created": 7, "id"') for frame in WIRE), end="complete"
    )
    *others, told = [json.loads(line[6:]) for line in play.body.splitlines() if b"{" in line]
    assert told["streamgauge"]
    assert {(one["id"], one["created"]) for one in others} == {(told["id"], told["created"])}


def test_the_anthropic_chunk_is_a_ping() -> None:
    play = Play(MESSAGES, metadata="chunk")
    play.stream(*MESSAGES_WIRE, end="complete")
    extra = added(play, MESSAGES_WIRE)[0]
    assert extra.startswith(b"event: ping\n")
    assert last_payload(extra)["type"] == "ping"


@pytest.mark.parametrize("mode", ["off", "comment", "chunk", "event", "after_done"])
def test_no_metadata_without_the_end_marker(mode: str) -> None:
    play = Play(ASKED, metadata=mode)
    play.stream(*WIRE[:-1], end="complete")
    assert play.body == b"".join(WIRE[:-1])


def test_metadata_off_adds_nothing() -> None:
    play = Play(ASKED, metadata="off")
    play.stream(*WIRE, end="complete")
    assert play.body == b"".join(WIRE)


def test_a_client_gone_gets_no_metadata() -> None:
    play = Play(ASKED, attempt={"on_disconnect": "drain"}, metadata="comment")
    play.stream(*WIRE[:2])
    play.do("client_gone")
    play.data(*WIRE[2:])
    play.do("upstream_end", "complete")
    assert play.body == b"".join(WIRE[:2])
    assert play.row.success is True


# --- the usage frame we asked for ----------------------------------------------------------------


def test_the_usage_frame_that_only_we_asked_for_is_hidden() -> None:
    play = Play(chat_request())
    play.stream(*WIRE, end="complete")
    assert (
        b'"include_usage": true' in play.requests[0] or b'"include_usage":true' in play.requests[0]
    )
    assert play.body == b"".join(piece for piece in WIRE if piece is not USAGE)
    row = play.row
    assert (row.usage_source, row.input_tokens) == ("provider", 9)
    assert (row.frames_in, row.frames_out) == (6, 5)


@pytest.mark.parametrize(
    ("request_", "inject", "asks", "hidden"),
    [
        (chat_request(), "true", True, True),
        (chat_request(), "false", False, False),
        (ASKED, "true", True, False),
        (chat_request(stream_options={"include_usage": False}), "true", False, False),
        (chat_request(stream_options={"include_usage": False}), "force", True, True),
        (chat_request("completions"), "true", True, True),
    ],
)
def test_who_asked_for_usage_sees_it(request_: Any, inject: str, asks: bool, hidden: bool) -> None:
    play = Play(request_, attempt={"inject_usage": inject})
    play.stream(*WIRE, end="complete")
    options = json.loads(play.requests[0]).get("stream_options") or {}
    assert bool(options.get("include_usage")) is asks
    assert (USAGE not in play.body) is hidden


@pytest.mark.parametrize(
    "frames",
    [
        (chunk(choices=[], service_tier="flex"), ROLE, text("a"), FINISH, DONE),
        (ROLE, chunk(choices=[{"index": 0, "delta": {"content": "a"}}], service_tier="flex")),
        (chunk(choices=[{"delta": {"role": 7}}], service_tier="flex"), text("a"), FINISH, DONE),
    ],
    ids=["first", "cut", "odd"],
)
def test_the_service_tier_needs_no_usage(frames: tuple[bytes, ...]) -> None:
    play = Play(chat_request())
    play.stream(*frames, end="complete")
    row = play.row
    assert (row.service_tier, row.usage_source, row.output_tokens) == ("flex", "counted", 1)
    assert play.body.startswith(b"".join(frames))


# --- a spoken answer -----------------------------------------------------------------------------

SPOKEN = {"id": "audio_1", "data": "UklGRg==", "expires_at": 7, "transcript": "Hello"}


@pytest.mark.parametrize("more", [{}, {"refusal": 7}], ids=["typed", "loose"])
def test_what_is_said_aloud_is_content_by_its_transcript(more: dict[str, Any]) -> None:
    pieces = [{"id": "audio_1", "transcript": "Hel"}, {"data": "UklGRg=="}, {"transcript": "lo"}]
    frames = [chunk(choices=[{"index": 0, "delta": {"audio": p, **more}}]) for p in pieces]
    play = Play(ASKED)
    play.stream(ROLE, *frames, FINISH, DONE, end="complete")
    row = play.row
    assert play.body == b"".join((ROLE, *frames, FINISH, DONE))
    assert (row.output_tokens, row.usage_source, row.ttft_ms) == (2, "counted", 0.0)
    assert "empty_answer" not in row.anomalies
    message = {"role": "assistant", "content": None, "audio": SPOKEN}
    whole = json.dumps({"choices": [{"message": message, "finish_reason": "stop"}]}).encode()
    play = Play(chat_request(stream=False))
    play.answer(200, whole)
    assert (play.whole.body, play.row.anomalies) == (whole, [])
    play = Play(ASKED)
    play.answer(200, whole)
    assert b'"audio":{"id":"audio_1","data":"UklGRg=="' in play.body


# --- a JSON answer to a stream request -----------------------------------------------------------

USAGE_MEMBERS = {"prompt_tokens": 3, "completion_tokens": 2}
CHOICE = {"index": 0, "message": {"content": "hello"}, "finish_reason": "stop"}
WHOLE = json.dumps({"model": "m", "choices": [CHOICE], "usage": USAGE_MEMBERS}).encode()


@pytest.mark.parametrize("metering", [True, False])
def test_a_json_answer_becomes_a_stream(metering: bool) -> None:
    play = Play(ASKED, metering=metering)
    play.answer(200, WHOLE)
    assert play.told.startswith("head data")
    assert play.told.endswith("data end")
    assert b'"hello"' in play.body
    assert play.body.endswith(DONE)
    row = play.row
    assert (row.status, row.http_status, row.delivered) == (Status.COMPLETED, 200, "all")
    if metering:
        assert (row.output_tokens, row.usage_source, row.finish_reason) == (2, "provider", "stop")


@pytest.mark.parametrize("asked", [{}, {"stream_options": {"include_usage": False}}])
@pytest.mark.parametrize("inject", ["true", "false", "force"])
def test_the_usage_of_a_json_answer_is_hidden_from_who_did_not_ask(
    inject: str, asked: dict[str, Any]
) -> None:
    play = Play(chat_request(**asked), attempt={"inject_usage": inject})
    play.answer(200, WHOLE)
    assert b"prompt_tokens" not in play.body
    assert play.row.output_tokens == 2


@pytest.mark.parametrize(
    "odd", [WHOLE, b"\xef\xbb\xbf" + WHOLE, WHOLE.replace(b"hello", b"hello\xff")]
)
def test_unread_it_is_hidden_too_however_the_answer_is_written(odd: bytes) -> None:
    play = Play(chat_request(), metering=False)
    play.answer(200, odd)
    assert b"hello" in play.body
    assert b"prompt_tokens" not in play.body


def test_a_json_error_to_a_stream_request_is_an_http_error() -> None:
    play = Play(ASKED)
    play.answer(200, b'{"error": {"message": "no", "code": 404}}')
    assert (play.whole.status, play.row.status) == (404, Status.UPSTREAM_ERROR)


# --- metering: off -------------------------------------------------------------------------------


def unread(*pieces: bytes, end: str | None = None, **more: Any) -> Play:
    play = Play(chat_request(), metering=False, **more)
    play.stream(*pieces, end=end)
    return play


def test_unread_bytes_pass_as_they_come_and_nothing_is_parsed() -> None:
    pieces = (b"\xef\xbb\xbfdata: {", b"}\n", b"\nda", *WIRE)
    play = unread(*pieces, end="complete")
    assert [a.data for a in play.log if hasattr(a, "data")] == list(pieces)
    assert play.told == "head " + "data " * len(pieces) + "end"
    assert play.exchange.parsed_frames == 0
    row = play.row
    assert (row.status, row.delivered, row.usage_source) == (Status.COMPLETED, "all", "none")
    assert (row.bytes_in, row.bytes_out) == (len(play.body), len(play.body))


def test_unread_numbers_are_unknown_and_not_zero() -> None:
    row = unread(*WIRE, end="complete").row
    assert (row.frames_in, row.frames_out, row.stalls) == (None, None, None)
    assert (row.ttft_ms, row.output_tokens, row.finish_reason) == (None, None, None)


@pytest.mark.parametrize(("wanted", "shown"), [(None, False), (False, False), (True, True)])
def test_an_answer_made_an_unread_stream_tells_usage_to_who_asked(
    wanted: bool | None, shown: bool
) -> None:
    options = {} if wanted is None else {"stream_options": {"include_usage": wanted}}
    play = Play(chat_request(**options), metering=False)
    said = {"index": 0, "message": {"content": "a"}, "finish_reason": "stop"}
    counts = {"usage": {"prompt_tokens": 9, "completion_tokens": 4}, "timings": {"cache_n": 1}}
    play.head(content_type="application/json")
    play.data(json.dumps({"choices": [said], **counts}).encode())
    play.do("upstream_end", "complete")
    assert play.body.endswith(DONE)
    assert (b'"usage"' in play.body, b'"timings"' in play.body) == (shown, shown)
    assert play.row.status is Status.COMPLETED


def test_an_unread_stream_is_not_asked_for_usage_that_could_not_be_hidden() -> None:
    assert b"include_usage" not in unread(*WIRE).requests[0]


def test_an_unread_stream_without_a_byte_is_an_http_error() -> None:
    play = unread(end="complete")
    assert (play.whole.status, play.row.status) == (502, Status.STREAM_INCOMPLETE)


@pytest.mark.parametrize("kind", ["cut", "reset"])
def test_an_unread_stream_that_is_cut_inside_a_frame_is_closed_before_the_error(kind: str) -> None:
    play = unread(text("a"), b"data: {half", end=kind)
    assert play.body.startswith(text("a") + b'data: {half\n\ndata: {"error"')
    assert play.row.status in (Status.STREAM_INCOMPLETE, Status.UPSTREAM_ERROR)


def test_a_keep_alive_never_goes_into_an_unread_frame() -> None:
    play = unread(text("a"), b"data: {half")
    assert play.do("tick", at=15.0) == []
    play.data(b"}\n\n")
    play.do("tick", at=31.0)
    assert play.body.endswith(b"}\n\n: keep-alive\n")


def test_a_client_that_leaves_an_unread_stream_had_a_part_of_it() -> None:
    play = unread(text("a"))
    play.do("client_gone")
    assert play.row.delivered is Delivered.PART


def test_an_unread_drain_ends_with_its_upstream() -> None:
    play = unread(text("a"), attempt={"on_disconnect": "drain"})
    play.do("client_gone")
    play.data(text("b"))
    assert play.body == text("a")
    play.do("upstream_end", "complete")
    assert play.row.status is Status.CLIENT_DISCONNECTED
    assert len(play.of(Commit)) == 1


# --- an answer without words ---------------------------------------------------------------------

PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
SEEN = [{"content": "", "images": [PICTURE]}, {"audio": {"data": "UklGRg=="}}]


@pytest.mark.parametrize("odd", [{}, {"refusal": 7}], ids=["typed", "loose"])
@pytest.mark.parametrize("seen", SEEN, ids=["picture", "sound"])
def test_a_picture_or_a_sound_alone_is_an_answer_and_no_content(
    seen: dict[str, Any], odd: dict[str, Any]
) -> None:
    frame = chunk(choices=[{"index": 0, "delta": {**seen, **odd}}])
    play = Play(ASKED)
    play.stream(ROLE, frame, FINISH, DONE, end="complete")
    row = play.row
    assert play.body == b"".join((ROLE, frame, FINISH, DONE))
    assert (row.ttft_ms, row.usage_source) == (None, "none")
    assert "empty_answer" not in row.anomalies
    message = {"role": "assistant", "content": None, **seen, **odd}
    for finish in ("stop", None):
        answer = {"choices": [{"message": message, "finish_reason": finish}], "usage": {}}
        play = Play(chat_request(stream=False))
        play.answer(200, json.dumps(answer).encode())
        assert play.row.status is Status.COMPLETED
        assert "empty_answer" not in play.row.anomalies


@pytest.mark.parametrize("images", [None, [], "none"])
def test_no_picture_is_no_answer(images: Any) -> None:
    play = Play(ASKED)
    frame = chunk(choices=[{"index": 0, "delta": {"content": "", "images": images}}])
    play.stream(ROLE, frame, FINISH, DONE, end="complete")
    assert "empty_answer" in play.row.anomalies
