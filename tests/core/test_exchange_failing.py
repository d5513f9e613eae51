"""An upstream that fails: no head, no frame, a cut, a flood (SPEC §5.1, F20–F28, F36)."""

from __future__ import annotations

import pytest

from streamgauge.core.actions import (
    BeginAttempt,
    CloseUpstream,
    Commit,
    EndClient,
    RememberRefusal,
    SendAnswer,
)
from streamgauge.core.integrity import Integrity
from streamgauge.core.integrity_proof import Proof
from streamgauge.core.record import Delivered, Status
from streamgauge.core.sse import FRAME_LIMIT

from .playbook import DONE, FINISH, ROLE, USAGE, Play, chat_request, last_payload, text

ASKED = chat_request(stream_options={"include_usage": True})


@pytest.mark.parametrize(
    ("kind", "status", "row_status"),
    [
        *(
            (k, 502, "upstream_error")
            for k in ("dns", "refused", "connect", "tls", "reset", "closed")
        ),
        ("connect_timeout", 504, "upstream_timeout"),
        ("protocol", 502, "upstream_protocol_error"),
        ("exhausted", 503, "rejected"),
        ("something new", 502, "upstream_error"),
    ],
)
@pytest.mark.parametrize("sent", [False, True])
def test_a_call_without_a_head_is_an_http_error(
    kind: str, status: int, row_status: str, sent: bool
) -> None:
    play = Play(ASKED)
    play.do("start")
    play.do("begun")
    if sent:
        play.do("connected")
    play.do("attempt_failed", kind)
    assert play.whole.status == play.row.http_status == status
    assert (play.row.status, play.row.delivered) == (row_status, Delivered.NONE)
    assert play.closes == 0, "it is gone already"
    attempt = play.of(Commit)[0].attempts[0]
    assert (attempt.outcome, attempt.http_status) == (row_status, None)
    assert attempt.may_have_been_billed is sent


@pytest.mark.parametrize(
    ("ends", "row_status", "http"),
    [
        ("complete", "stream_incomplete", 502),
        ("cut", "stream_incomplete", 502),
        ("reset", "upstream_error", 502),
        ("protocol", "upstream_protocol_error", 502),
    ],
)
def test_a_stream_without_a_frame_is_an_http_error(ends: str, row_status: str, http: int) -> None:
    play = Play(ASKED)
    play.stream(b": ping\n\n", end=ends)
    assert play.whole.status == http
    assert (play.row.status, play.row.usage_source) == (row_status, "none")
    assert (play.row.output_tokens, play.row.ttft_ms) == (None, None)


@pytest.mark.parametrize("ends", ["complete", "cut", "reset"])
def test_a_cut_stream_ends_with_an_error_frame_and_is_counted(ends: str) -> None:
    play = Play(ASKED)
    play.stream(ROLE, text("a"), text("b"), b'data: {"unfinished', end=ends)
    assert play.body.startswith(ROLE + text("a") + text("b") + b'data: {"error"')
    assert last_payload(play.body)["error"]["code"] == "stream_incomplete"
    assert b"unfinished" not in play.body
    assert b"[DONE]" not in play.body
    assert play.told.endswith("data end")
    row = play.row
    assert (row.status, row.delivered) == (Status.STREAM_INCOMPLETE, Delivered.PART)
    assert (row.output_tokens, row.input_tokens, row.usage_source) == (2, None, "counted")
    assert (row.http_status, row.error_code) == (200, "stream_incomplete")


@pytest.mark.parametrize("ends", ["complete", "cut", "reset"])
@pytest.mark.parametrize("usage", [True, False])
def test_a_finished_stream_without_its_marker_ends_quietly(ends: str, usage: bool) -> None:
    play = Play(ASKED)
    sent = [text("a"), FINISH, *([USAGE] if usage else [])]
    play.stream(*sent, end=ends)
    assert play.body == b"".join(sent)
    assert play.told.endswith("data end")
    row = play.row
    assert (row.status, row.success) == (Status.STREAM_INCOMPLETE, False)
    assert row.anomalies == ["finished_without_marker"]
    assert row.usage_source == ("provider" if usage else "counted")
    assert (row.error_code, row.finish_reason) == (None, "stop")


@pytest.mark.parametrize("mode", [Integrity.OFF, Integrity.LEDGER])
@pytest.mark.parametrize(("field", "frames"), [(b"data: ", 2), (b"other: ", 1)])
def test_a_large_frame_that_is_cut_is_closed_before_the_error_frame_and_counts_with_data(
    field: bytes, frames: int, mode: Integrity
) -> None:
    play = Play(ASKED, proof=Proof(mode=mode))
    large = field + b"x" * 70_000
    play.stream(large, end="cut")
    assert play.body.startswith(large + b"\n\ndata: {")
    assert play.row.frames_out == frames


def test_a_frame_beyond_the_limit_ends_the_stream_with_an_error() -> None:
    play = Play(ASKED)
    play.stream(text("a"))
    piece = b"x" * (1 << 20)
    play.data(b"data: ", *[piece] * (FRAME_LIMIT // len(piece)))
    row = play.row
    assert (row.status, row.anomalies) == (Status.UPSTREAM_PROTOCOL_ERROR, ["oversize_frame"])
    assert last_payload(play.body[-400:])["error"]["code"] == "upstream_protocol_error"
    assert play.closes == 1


def test_a_flood_of_comments_ends_the_stream_with_an_error() -> None:
    play = Play(ASKED)
    play.stream(text("a"))
    comment = b": " + b"x" * 50_000 + b"\n\n"
    play.data(*[comment] * 200)
    assert play.row.status is Status.UPSTREAM_PROTOCOL_ERROR
    assert play.body.count(comment) <= 168


@pytest.mark.parametrize(
    "action", [CloseUpstream, EndClient, SendAnswer, RememberRefusal, BeginAttempt]
)
def test_a_whole_stream_needs_none_of_these_but_one_end(action: type) -> None:
    play = Play(ASKED)
    play.stream(text("a"), FINISH, USAGE, DONE, end="complete")
    assert len(play.of(action)) == (1 if action is EndClient else 0)
