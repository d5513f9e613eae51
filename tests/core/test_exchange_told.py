"""What the client and the row are told at the end: ids, frames, roundings (SPEC §5.5, §8.3)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from streamgauge.core.record import Delivered, Disposition, Status

from .playbook import DONE, FINISH, ROLE, SSE, USAGE, Play, chat_request, chunk, last_payload, text

ASKED = chat_request(stream_options={"include_usage": True})
MESSAGES = chat_request("messages", max_tokens=5)
CUT = "the upstream ended the stream before it was finished"


def test_a_cut_stream_has_one_frame_of_ours_and_was_read_to_its_end() -> None:
    play = Play(ASKED)
    play.stream(ROLE, text("a"), end="cut")
    row = play.row
    assert (row.frames_in, row.frames_out) == (2, 3)
    assert (row.disposition, row.delivered) == (Disposition.READ_TO_END, Delivered.PART)
    assert (row.error_code, row.error_message) == ("stream_incomplete", CUT)
    assert row.bytes_out == len(play.body)


@pytest.mark.parametrize("request_", [ASKED, MESSAGES], ids=["openai", "anthropic"])
@pytest.mark.parametrize("before", [b"", b": busy\n\n"], ids=["silence", "comments"])
@pytest.mark.parametrize("ends", ["cut", "error"])
def test_an_error_behind_signs_of_life_delivers_nothing_of_an_answer(
    request_: Any, before: bytes, ends: str
) -> None:
    play = Play(request_)
    play.head()
    play.data(*filter(None, [before]))
    play.do("tick", at=15.0)
    if ends == "cut":
        play.do("upstream_end", "cut", at=16.0)
    else:
        play.data(b'event: error\ndata: {"type":"error","error":{"message":"no"}}\n\n')
        play.do("upstream_end", "complete", at=16.0)
    assert b"error" in play.body
    assert (play.row.http_status, play.row.frames_out) == (200, 1)
    assert play.row.delivered is Delivered.NONE


def test_a_part_of_a_large_frame_behind_which_an_error_stands_was_delivered() -> None:
    play = Play(ASKED)
    play.stream(b'data: {"choices":[{"index":0,"delta":{"content":"' + b"x" * 70_000, end="cut")
    assert (play.row.frames_out, play.row.delivered) == (2, Delivered.PART)


def test_an_error_object_of_another_shape_is_one_frame_of_ours() -> None:
    play = Play(MESSAGES)
    started = b'event: message_start\ndata: {"type":"message_start","message":{}}\n\n'
    play.stream(started, b'event: error\ndata: {"message": "no"}\n\n', end="complete")
    assert last_payload(play.body) == {
        "type": "error",
        "error": {"type": "api_error", "message": "no", "code": "upstream_error"},
        "request_id": play.facts.id,
    }
    assert (play.row.frames_out, play.row.error_message) == (2, "no")


def test_an_anthropic_client_is_told_the_requests_id() -> None:
    refused = Play(MESSAGES)
    refused.answer(400, b'{"error":{"message":"no","type":"x"}}')
    assert json.loads(refused.whole.body)["request_id"] == refused.facts.id
    assert refused.row.bytes_out == len(refused.whole.body)
    cut = Play(MESSAGES)
    cut.stream(b'event: message_start\ndata: {"type":"message_start","message":{}}\n\n', end="cut")
    assert last_payload(cut.body)["request_id"] == cut.facts.id


def test_a_cut_responses_stream_ends_with_its_own_error_event() -> None:
    play = Play(chat_request("responses"))
    play.stream(b'data: {"type":"response.created","response":{}}\n\n', end="cut")
    *_, frame = play.body.split(b"\n\n")[:-1]
    assert frame.startswith(b'event: error\ndata: {"type":"error"')
    assert last_payload(play.body)["message"] == CUT


def test_times_are_rounded_to_the_microsecond_and_ours_to_a_tenth() -> None:
    play = Play(ASKED, attempt={"on_disconnect": "drain"})
    play.do("start")
    play.do("connected")
    play.do("begun", at=0.001_234_567_8)
    play.do("attempt_head", 200, SSE, None, at=0.002_345_678_9)
    play.do("upstream_data", text("a"), at=0.003_456_789_1)
    play.do("client_gone", at=0.004)
    play.do("upstream_data", text("b"), at=0.005_123_456_7)
    play.do("upstream_end", "cut", at=0.006_345_678_9)
    row = play.row
    assert row.overhead_us == 1234.6
    assert (row.latency_ms, row.first_byte_ms, row.ttft_ms) == (2.346, 3.457, 3.457)
    assert (row.drain_ms, row.stream_duration_ms) == (2.346, 6.346)
    assert (row.gap_p50_ms, row.gap_p95_ms, row.gap_max_ms) == (1.667, 1.667, 1.667)


@pytest.mark.parametrize(("metering", "expected"), [(True, (2, 2, 0)), (False, (None, None, None))])
def test_what_was_not_read_is_unknown(metering: bool, expected: tuple[int | None, ...]) -> None:
    play = Play(ASKED, metering=metering)
    play.stream(text("a"), DONE, end="complete")
    row = play.row
    assert (row.frames_in, row.frames_out, row.stalls) == expected


@pytest.mark.parametrize(
    ("pieces", "anomalies", "source"),
    [
        ((text("a"), FINISH, USAGE, DONE), [], ("provider", "provider")),
        ((text("a"), FINISH, DONE), [], ("counted", "none")),
        ((FINISH, USAGE, DONE), ["empty_answer"], ("provider", "provider")),
        (
            (b'data: {"choices":[],"usage":{"prompt_tokens":3}}\n\n', text("a"), DONE),
            ["partial_usage"],
            ("counted", "provider"),
        ),
        ((text("a"), DONE, DONE, text("b")), ["data_after_marker", "second_marker"], None),
    ],
)
def test_the_anomalies_of_a_completed_stream_are_sorted(
    pieces: tuple[bytes, ...], anomalies: list[str], source: tuple[str, str] | None
) -> None:
    play = Play(ASKED)
    play.stream(*pieces, end="complete")
    row = play.row
    assert (row.status, row.success, row.anomalies) == (Status.COMPLETED, True, anomalies)
    if source is not None:
        assert (row.usage_source, row.input_source) == source


def test_a_long_message_is_bounded_in_the_row() -> None:
    play = Play(ASKED)
    play.answer(400, json.dumps({"error": {"message": "y" * 1500}}).encode())
    assert play.row.error_message == "y" * 1000
    assert json.loads(play.whole.body)["error"]["message"] == "y" * 1500


@pytest.mark.parametrize(
    ("request_", "answer"),
    [
        (chat_request(stream=False), b'{"choices":[{"message":{"content":"a"}}]}'),
        (
            chat_request("messages", stream=False, max_tokens=5),
            b'{"content":[{"type":"text","text":"a"}]}',
        ),
    ],
)
def test_a_whole_answer_that_ends_early_says_so(request_: Any, answer: bytes) -> None:
    play = Play(request_)
    play.head(200, "application/json", None)
    play.data(answer[:9])
    play.do("upstream_end", "reset")
    assert (play.row.error_message, play.row.delivered) == (CUT, Delivered.NONE)
    empty = Play(request_)
    empty.head(200, "application/json", None)
    empty.do("upstream_end", "reset")
    assert empty.row.error_message == "the upstream reset the connection before it answered"


def test_a_model_that_answers_under_another_name_is_kept_apart() -> None:
    play = Play(ASKED)
    play.stream(text("a"), FINISH, DONE, end="complete")
    row = play.row
    assert (row.requested_model, row.upstream_model, row.response_model) == ("m", "m", "m")
    assert (row.finish_reason, row.finish_normal, row.service_tier) == ("stop", "stop", None)


def test_an_attempt_says_what_its_exchange_says() -> None:
    play = Play(ASKED)
    play.stream(text("a"), FINISH, USAGE, end="cut")
    play_row = play.row
    (attempt,) = play.log[-1].attempts
    assert (attempt.outcome, attempt.error_code) == (play_row.status.value, play_row.error_code)
    assert (attempt.input_tokens, attempt.output_tokens) == (9, 4)
    assert (attempt.first_byte_ms, attempt.finished_at) == (
        play_row.first_byte_ms,
        play_row.finished_at,
    )
    assert (attempt.request_id, attempt.dialect, attempt.model) == (play_row.id, "openai", "m")


@pytest.mark.parametrize(("status", "billed"), [(399, True), (400, False), (500, False)])
def test_a_refused_attempt_was_not_billed(status: int, billed: bool) -> None:
    play = Play(ASKED)
    play.answer(status, b"{}")
    assert play.log[-1].attempts[0].may_have_been_billed is billed


@pytest.mark.parametrize(
    ("kind", "n", "output"),
    [("llamacpp", 2, 8), ("llamacpp", 3, 8), ("llamacpp", 1, 4), ("openai", 2, 4)],
)
def test_only_llamacpps_choices_state_an_output_each(kind: str, n: int, output: int) -> None:
    play = Play(chat_request(n=n, stream_options={"include_usage": True}), kind=kind)
    play.stream(text("a"), FINISH, USAGE, USAGE, DONE, end="complete")
    assert (play.row.input_tokens, play.row.output_tokens) == (9, output)


def test_a_call_that_fails_behind_a_keep_alive_ends_the_stream_with_an_error() -> None:
    play = Play(ASKED)
    play.connect()
    play.do("tick", at=15.0)
    play.do("attempt_failed", "reset")
    assert play.told == "head data data end"
    assert last_payload(play.body)["error"]["code"] == "upstream_error"
    assert (play.row.http_status, play.row.frames_out) == (200, 1), "the error is a frame"


def test_a_second_head_of_one_call_changes_nothing() -> None:
    play = Play(ASKED)
    play.stream(text("a"), FINISH, USAGE, DONE)
    assert play.do("attempt_head", 500, "text/html", "9", at=0.005) == []
    play.do("upstream_end", "complete")
    row = play.row
    assert (row.latency_ms, row.bytes_in, row.status) == (0.0, len(play.body), Status.COMPLETED)
    assert play.log[-1].attempts[0].http_status == 200


def test_an_upstreams_own_error_frame_is_a_frame_that_was_sent() -> None:
    play = Play(ASKED)
    play.stream(text("a"), chunk(error={"message": "no"}), end="complete")
    assert (play.row.frames_out, play.body.count(b"data: ")) == (2, 2)


def test_an_empty_read_is_no_first_byte() -> None:
    play = Play(ASKED)
    play.head()
    play.do("upstream_data", b"", at=1.0)
    play.do("upstream_data", text("a"), at=2.0)
    play.do("upstream_end", "cut")
    assert (play.row.first_byte_ms, play.row.bytes_in) == (2000.0, len(text("a")))
