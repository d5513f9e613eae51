"""What a silent upstream means: keep-alives for the client, and the deadlines of SPEC §2.5."""

from __future__ import annotations

from typing import Any

import pytest

from streamgauge.core.actions import Commit
from streamgauge.core.attempt import Limits
from streamgauge.core.record import Status

from .playbook import DONE, FINISH, ROLE, SSE, USAGE, Play, chat_request, last_payload, text

ASKED = chat_request(stream_options={"include_usage": True})
MESSAGES = chat_request("messages", max_tokens=5)
KEEPALIVE = b": keep-alive\n"
PING = b'event: ping\ndata: {"type":"ping"}\n\n'
PROGRESS = b'data: {"choices":[],"prompt_progress":{"total":9,"processed":3}}\n\n'


def limited(**limits: float) -> Play:
    none = {"first_token": 0.0, "idle": 0.0, "total": 0.0}
    attempt = {"limits": Limits(**{**none, **limits})}
    return Play(ASKED, attempt=attempt, keepalive_seconds=0)


# --- keep-alives ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("request_", "sent"), [(ASKED, KEEPALIVE), (MESSAGES, PING)])
def test_a_silence_before_the_head_sends_head_and_keep_alive(request_: Any, sent: bytes) -> None:
    play = Play(request_)
    play.connect()
    assert play.do("tick", at=14.9) == []
    play.do("tick", at=15.0)
    assert (play.told, play.body) == ("head data", sent)
    play.do("tick", at=29.9)
    play.do("tick", at=30.0)
    assert (play.told, play.body) == ("head data data", sent * 2)
    assert play.exchange.record.http_status == 200


def test_keep_alives_count_in_nothing() -> None:
    play = Play(ASKED)
    play.connect()
    play.do("tick", at=15.0)
    play.do("attempt_head", 200, SSE, None, at=16.0)
    play.data(b":\n\n: ping\n\n", text("a"))
    play.do("tick", at=31.5)
    play.data(FINISH, USAGE, DONE)
    play.do("upstream_end", "complete")
    row = play.row
    assert play.body.count(KEEPALIVE) == 2
    assert (row.frames_in, row.frames_out, row.ttft_ms) == (4, 4, 16000.0)
    assert row.bytes_out == len(play.body)


def test_keep_alives_stand_between_frames_in_a_split_stream() -> None:
    play = Play(ASKED)
    frame = text("a")
    play.stream(ROLE, frame[:9])
    play.do("tick", at=15.0)
    play.data(frame[9:])
    assert play.body == ROLE + KEEPALIVE + frame


def test_no_keep_alive_goes_into_a_large_frame() -> None:
    play = Play(ASKED)
    large = b'data: {"choices": [], "x": "' + b"x" * 70_000
    play.stream(large)
    assert play.do("tick", at=15.0) == []
    play.data(b'"}\n\n')
    play.do("tick", at=30.0)
    assert play.body == large + b'"}\n\n' + KEEPALIVE


def test_what_was_held_goes_out_before_the_keep_alive() -> None:
    play = Play(ASKED)
    play.stream(b":\n\n", b": thinking\n\n")
    assert play.body == b""
    play.do("tick", at=15.0)
    assert play.body == b":\n\n: thinking\n\n" + KEEPALIVE
    play.data(b": on\n\n")
    assert play.body.endswith(KEEPALIVE + b": on\n\n")


def test_the_upstreams_own_comments_are_relayed_in_place() -> None:
    play = Play(ASKED)
    play.stream(b": one\n\n", ROLE, b": two\n\n", text("a"))
    assert play.body == b": one\n\n" + ROLE + b": two\n\n" + text("a")


def test_held_comments_are_bounded() -> None:
    play = Play(ASKED)
    play.stream(*[b":\n\n"] * 64)
    assert play.body == b""
    play.data(b":\n\n")
    assert play.body == b":\n\n" * 65
    wide = Play(ASKED)
    wide.stream(b": " + b"x" * 60_000 + b"\n\n")
    assert wide.body == b""
    wide.data(*[b": " + b"x" * 60_000 + b"\n\n"] * 4)
    assert len(wide.body) > 256 * 1024


@pytest.mark.parametrize(
    "play",
    [Play(chat_request(stream=False)), Play(ASKED, keepalive_seconds=0)],
    ids=["no stream", "switched off"],
)
def test_no_keep_alive_where_none_is_wanted(play: Play) -> None:
    play.connect()
    assert play.do("tick", at=200.0) == []


def test_no_keep_alive_before_the_request_has_left() -> None:
    play = Play(ASKED)
    play.do("start")
    assert play.do("tick", at=20.0) == []


def test_an_error_behind_a_keep_alive_is_an_error_frame() -> None:
    play = Play(ASKED)
    play.connect()
    play.do("tick", at=15.0)
    play.do("attempt_head", 429, "application/json", "7")
    play.data(b'{"error": {"message": "slow down"}}')
    play.do("upstream_end", "complete")
    assert play.told == "head data data end"
    error = last_payload(play.body)["error"]
    assert (error["message"], error["code"]) == ("slow down", "upstream_error")
    assert (play.row.status, play.row.http_status) == (Status.UPSTREAM_ERROR, 200)


# --- deadlines -----------------------------------------------------------------------------------


def late(play: Play, at: float) -> None:
    """See that the deadline stands at `at` seconds: not before, and then once."""
    assert play.do("tick", at=at) == []
    play.do("tick", at=at + 0.001)
    assert play.row.status is Status.UPSTREAM_TIMEOUT
    assert (play.row.error_code, play.closes) == ("upstream_timeout", 1)


@pytest.mark.parametrize(
    "pieces",
    [
        (),
        (b": ping\n\n", b":\n\n"),
        (ROLE,),
        (PROGRESS, PROGRESS),
        (b'event: ping\ndata: {"type": "ping"}\n\n',),
        (b'data: {"choices":[{"delta":{"content":""}}]}\n\n',),
    ],
    ids=["head", "comments", "role", "progress", "ping", "empty"],
)
def test_the_first_token_deadline_runs_until_content(pieces: tuple[bytes, ...]) -> None:
    play = limited(first_token=10, idle=3)
    play.head()
    for at, piece in enumerate(pieces, start=5):
        play.do("upstream_data", piece, at=float(at))
    late(play, 10.0)
    assert "first token" in str(play.row.error_message)


def test_the_first_token_deadline_begins_with_the_request() -> None:
    play = limited(first_token=10)
    play.do("start")
    play.do("begun")
    assert play.do("tick", at=50.0) == []
    play.do("connected")
    late(play, 60.0)
    assert play.whole.status == 504


def test_between_tokens_the_idle_deadline_runs_and_pings_do_not_extend_it() -> None:
    play = limited(first_token=10, idle=20)
    play.stream(text("a"))
    play.do("upstream_data", text("b"), at=8.0)
    play.do("upstream_data", b": ping\n\n", at=27.0)
    late(play, 28.0)
    assert last_payload(play.body)["error"]["code"] == "upstream_timeout"
    assert (play.row.usage_source, play.row.output_tokens) == ("counted", 2)


def test_any_frame_with_data_extends_the_idle_deadline() -> None:
    play = limited(idle=20)
    play.stream(text("a"))
    play.do("upstream_data", PROGRESS, at=19.0)
    late(play, 39.0)


def test_a_piece_of_a_large_frame_extends_the_idle_deadline() -> None:
    play = limited(idle=20)
    play.stream(text("a"), b"data: " + b"x" * 70_000)
    play.do("upstream_data", b"x", at=19.0)
    late(play, 39.0)


@pytest.mark.parametrize("place", ["start", "head", "stream"])
def test_the_total_deadline_runs_from_the_start(place: str) -> None:
    play = limited(total=60)
    if place == "start":
        play.do("start")
        play.do("begun")
    elif place == "head":
        play.head()
    else:
        play.stream(text("a"))
        play.do("upstream_data", text("b"), at=59.0)
    late(play, 60.0)


@pytest.mark.parametrize("limits", [{"idle": 20}, {"total": 20}], ids=str)
@pytest.mark.parametrize("usage", [(), (USAGE,)], ids=["no usage", "usage"])
def test_behind_a_finish_a_deadline_ends_the_stream_without_an_error(
    limits: dict[str, float], usage: tuple[bytes, ...]
) -> None:
    """The client has its answer whole: an error would make it ask for all of it again (SPEC §5.3)."""
    play = limited(**limits)
    play.stream(ROLE, text("a"), FINISH, *usage)
    assert play.do("tick", at=20.0) == []
    play.do("tick", at=20.001)
    row = play.row
    assert play.body == b"".join((ROLE, text("a"), FINISH, *usage))
    assert (play.told.split()[-1], play.closes) == ("end", 1)
    assert (row.status, row.success, row.error_code) == (Status.UPSTREAM_TIMEOUT, False, None)
    assert row.anomalies == ["finished_without_marker"]
    assert row.usage_source == ("provider" if usage else "counted")


def test_with_several_choices_a_deadline_is_an_error_until_each_has_finished() -> None:
    none = {"first_token": 0.0, "total": 0.0, "idle": 20.0}
    play = Play(chat_request(n=2), attempt={"limits": Limits(**none)}, keepalive_seconds=0)
    play.stream(ROLE, text("a"), FINISH)
    late(play, 20.0)
    assert last_payload(play.body)["error"]["code"] == "upstream_timeout"


def test_a_whole_answer_has_its_head_as_first_token() -> None:
    play = limited(first_token=10, idle=20)
    play.head(200, "application/json")
    play.do("upstream_data", b"{", at=15.0)
    late(play, 35.0)
    assert play.whole.status == 504


def test_without_deadlines_nothing_is_late() -> None:
    play = limited()
    play.stream(text("a"))
    assert play.do("tick", at=1e6) == []


def test_an_ended_exchange_looks_at_no_clock() -> None:
    play = limited(total=5)
    play.stream(text("a"), FINISH, USAGE, DONE, end="complete")
    assert play.do("tick", at=99.0) == []
    assert len(play.of(Commit)) == 1


def test_pings_before_the_head_of_the_answer_are_ours_and_extend_nothing() -> None:
    play = Play(ASKED, attempt={"limits": Limits(first_token=40)})
    play.connect()
    for at in (15.0, 30.0):
        play.do("tick", at=at)
    play.do("tick", at=40.1)
    assert (play.row.status, play.row.http_status) == (Status.UPSTREAM_TIMEOUT, 200)
    assert play.body.startswith(KEEPALIVE * 2 + b'data: {"error"')
