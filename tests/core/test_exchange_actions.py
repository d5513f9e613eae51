"""What each input of an exchange is answered with, argument by argument."""

from __future__ import annotations

import json
from typing import Any

import pytest

from streamgauge.core.actions import (
    AttemptOver,
    BeginAttempt,
    BeginRecord,
    CloseUpstream,
    Commit,
    EndClient,
    OpenUpstream,
    PauseUpstream,
    RememberRefusal,
    ResumeUpstream,
    SendData,
    SendHead,
    SendRequest,
    WakeAt,
)
from streamgauge.core.attempt import Drain, Limits
from streamgauge.core.record import Delivered, Disposition, Status
from streamgauge.core.sse import FRAME_LIMIT
from streamgauge.core.verdict import State

from .playbook import (
    DONE,
    FINISH,
    ROLE,
    SSE,
    START,
    STARTED_AT,
    USAGE,
    Play,
    chat_request,
    request_of,
    text,
)

ASKED = chat_request(stream_options={"include_usage": True})


def test_every_action_of_a_whole_stream() -> None:
    play = Play(ASKED)
    exchange = play.exchange
    begin, opened = play.do("start", at=0.25)
    assert (begin, opened) == (BeginRecord(exchange.record, begin.attempt), OpenUpstream(1))
    assert begin.attempt.started_at == STARTED_AT + 250_000
    assert exchange.state is State.CONNECTING
    assert play.do("begun", at=0.5) == []
    assert play.do("connected", at=0.5) == [SendRequest(1, ASKED.raw)]
    assert exchange.state is State.HOLDING
    assert play.do("attempt_head", 200, SSE, None, at=0.75) == []
    assert play.do("upstream_data", ROLE, at=1.0) == [SendHead(), SendData(ROLE)]
    assert exchange.state is State.STREAMING
    assert play.do("upstream_data", text("a"), at=1.5) == [SendData(text("a"))]
    assert play.do("upstream_data", FINISH + USAGE, at=2.0) == [SendData(FINISH + USAGE)]
    assert play.do("upstream_data", DONE, at=2.5) == [
        SendData(DONE),
        EndClient(),
        WakeAt(START + 2.51),
    ]
    assert exchange.state is State.DRAINING
    assert play.do("upstream_end", "complete", at=3.0) == [
        Commit(exchange.record, (begin.attempt,))
    ]
    assert exchange.state is State.DONE
    row = exchange.record
    assert (row.latency_ms, row.first_byte_ms, row.ttft_ms) == (750.0, 1000.0, 1500.0)
    assert (row.overhead_us, row.stream_duration_ms) == (500_000.0, 2500.0)
    assert row.finished_at == begin.attempt.finished_at == STARTED_AT + 3_000_000


def test_every_action_of_a_second_try_without_the_option() -> None:
    request = chat_request()
    play = Play(request)
    play.head(400, "application/json", None)
    first = play.of(BeginRecord)[0].attempt
    play.data(b'{"error": "unknown field stream_options"}')
    actions = play.do("upstream_end", "complete", at=2.0)
    remember, over, begin, opened = actions
    assert over == AttemptOver(first)
    assert (remember, opened) == (RememberRefusal("up"), OpenUpstream(2))
    assert isinstance(begin, BeginAttempt)
    assert (begin.attempt.n, begin.attempt.upstream) == (2, "up")
    assert (first.outcome, first.error_code) == ("upstream_error", "upstream_error")
    assert first.finished_at == begin.attempt.started_at == STARTED_AT + 2_000_000
    assert first.may_have_been_billed is False
    play.do("begun")
    assert play.do("connected", at=3.0) == [SendRequest(2, request.raw)]
    play.do("attempt_head", 200, SSE, None)
    play.data(text("a"), FINISH, DONE)
    play.do("upstream_end", "complete")
    assert play.of(Commit)[0].attempts == (first, begin.attempt)
    assert (play.row.attempts, play.row.status) == (2, Status.COMPLETED)


def test_a_second_try_awaits_its_own_row_and_its_own_socket() -> None:
    play = Play(chat_request())
    play.head(400, "application/json", None)
    play.data(b"stream_options")
    play.do("upstream_end", "complete")
    assert play.do("connected") == []
    assert len(play.do("begun")) == 1
    again = Play(chat_request())
    again.head(400, "application/json", None)
    again.data(b"stream_options")
    again.do("upstream_end", "complete")
    assert again.do("begun") == []


def test_a_deadline_runs_from_the_moment_that_the_request_has_left() -> None:
    limits = {"limits": Limits(first_token=10.0, idle=0.0)}
    for order in (("begun", "connected"), ("connected", "begun")):
        play = Play(ASKED, attempt=limits, keepalive_seconds=0)
        play.do("start")
        play.do(order[0], at=1.0)
        play.do(order[1], at=5.0)
        assert play.do("tick", at=15.0) == []
        play.do("tick", at=15.5)
        assert play.row.status is Status.UPSTREAM_TIMEOUT
        assert last_words(play) == "the upstream's first token took longer than 10 s"


def last_words(play: Play) -> str | None:
    """Return what the row says of the error; the client was told the same."""
    return play.row.error_message


def test_a_head_without_a_byte_is_no_first_token() -> None:
    play = Play(ASKED, attempt={"limits": Limits(first_token=10.0, idle=1.0)}, keepalive_seconds=0)
    play.connect()
    play.do("attempt_head", 200, SSE, None, at=4.0)
    assert play.do("tick", at=10.0) == []
    play.do("upstream_data", ROLE, at=10.0)
    assert play.do("tick", at=10.0) == [], "a role is no content"
    play.do("tick", at=10.5)
    assert last_words(play) == "the upstream's first token took longer than 10 s"


def test_the_idle_deadline_runs_from_the_last_thing_that_was_no_keep_alive() -> None:
    play = Play(ASKED, attempt={"limits": Limits(first_token=9.0, idle=5.0)}, keepalive_seconds=0)
    play.stream(text("a"))
    play.do("upstream_data", text("b"), at=2.0)
    play.do("upstream_data", b": ping\n\n", at=6.0)
    assert play.do("tick", at=7.0) == []
    play.do("tick", at=7.5)
    assert last_words(play) == "the upstream's next token took longer than 5 s"


def test_a_json_answer_that_comes_slowly_is_idle_between_its_pieces() -> None:
    play = Play(ASKED, attempt={"limits": Limits(first_token=3.0, idle=5.0)}, keepalive_seconds=0)
    play.head(200, "application/json", None)
    assert play.do("tick", at=5.0) == [], "its head is all that can be waited for"
    play.do("upstream_data", b"{", at=5.0)
    assert play.do("tick", at=10.0) == []
    play.do("tick", at=10.5)
    assert last_words(play) == "the upstream's next token took longer than 5 s"


def test_behind_the_marker_the_wait_is_not_prolonged() -> None:
    play = Play(ASKED)
    play.stream(text("a"), FINISH)
    assert play.do("upstream_data", DONE, at=1.0)[-1] == WakeAt(START + 2.0)
    assert play.do("upstream_data", text("late"), at=1.5) == []
    assert play.do("upstream_data", DONE, at=1.75) == []
    assert play.do("tick", at=1.9) == []
    assert play.do("tick", at=2.0)[0] == CloseUpstream()
    assert play.row.disposition is Disposition.READ_TO_END


def test_behind_an_error_the_upstream_is_read_on_for_a_second() -> None:
    play = Play(ASKED)
    play.stream(text("a"))
    error = b'data: {"error": {"message": "no"}}\n\n'
    assert play.do("upstream_data", error, at=1.0) == [
        SendData(error),
        EndClient(),
        WakeAt(START + 2.0),
    ]
    assert play.exchange.state is State.DRAINING
    play.data(USAGE)
    assert play.do("tick", at=1.9) == []
    play.do("tick", at=2.0)
    assert (play.row.status, play.row.output_tokens) == (Status.UPSTREAM_ERROR, 4)
    assert play.row.frames_out == 2


def test_an_error_before_anything_was_sent_is_an_answer_and_sent_now() -> None:
    play = Play(ASKED, keepalive_seconds=15.0)
    play.stream(b'data: {"error": {"message": "no", "code": 404}}\n\n')
    assert (play.whole.status, play.whole.retry_after) == (404, None)
    assert play.wakes == [1.0]


def test_what_comes_behind_a_keep_alive_is_not_held() -> None:
    play = Play(ASKED)
    play.connect()
    play.do("tick", at=15.0)
    play.do("attempt_head", 200, SSE, None)
    assert play.do("upstream_data", b": thinking\n\n") == [SendData(b": thinking\n\n")]


def test_metadata_is_compact_json() -> None:
    play = Play(ASKED, metadata="comment")
    play.stream(text("a"), FINISH, USAGE, DONE, end="complete")
    (line,) = [line for line in play.body.split(b"\n") if line.startswith(b": streamgauge ")]
    told = line.removeprefix(b": streamgauge ")
    assert told == json.dumps(json.loads(told), separators=(",", ":")).encode()
    assert json.loads(told)["request_id"] == play.facts.id


def test_a_responses_stream_is_read_as_one() -> None:
    play = Play(chat_request("responses"))
    created = b'event: response.created\ndata: {"type":"response.created","response":{}}\n\n'
    delta = b'event: x\ndata: {"type":"response.output_text.delta","delta":"a"}\n\n'
    final = (
        b'event: response.completed\ndata: {"type":"response.completed","response":'
        b'{"status":"completed","usage":{"input_tokens":3,"output_tokens":2}}}\n\n'
    )
    play.stream(created, delta.replace(b"event: x\n", b""), final, end="complete")
    row = play.row
    assert (row.status, row.finish_reason) == (Status.COMPLETED, "completed")
    assert (row.input_tokens, row.output_tokens, row.usage_source) == (3, 2, "provider")


def test_an_embedding_has_no_answer_that_could_be_empty() -> None:
    play = Play(chat_request("embeddings", stream=False))
    play.answer(200, b'{"data":[],"usage":{"prompt_tokens":3,"total_tokens":3}}')
    row = play.row
    assert (row.status, row.anomalies, row.input_tokens) == (Status.COMPLETED, [], 3)


@pytest.mark.parametrize("endpoint", ["chat/completions", "completions", "messages", "responses"])
def test_an_answer_without_content_is_noted(endpoint: str) -> None:
    play = Play(chat_request(endpoint, stream=False))
    play.answer(200, b'{"choices":[],"content":[],"output":[]}')
    assert play.row.anomalies == ["empty_answer"]
    assert play.row.frames_in == 1


def test_where_no_descriptor_is_left_the_client_is_told_to_wait_a_second() -> None:
    play = Play(ASKED)
    play.do("start")
    play.do("attempt_failed", "exhausted")
    assert (play.whole.status, play.whole.retry_after) == (503, "1")
    other = Play(ASKED)
    other.do("start")
    other.do("attempt_failed", "refused")
    assert other.whole.retry_after is None


def test_a_refusal_by_a_page_names_its_kind() -> None:
    play = Play(ASKED)
    play.answer(503, b"<html>", "text/html; charset=x", "7")
    assert play.whole.retry_after == "7"
    assert last_words(play) == "the upstream answered with status 503 and no JSON (text/html)"


@pytest.mark.parametrize(
    ("content_type", "body", "message"),
    [
        ("application/json", b"{", "the upstream's answer is not valid JSON"),
        ("application/json", b'{"a":1}', "the upstream's answer is not a chat answer"),
    ],
)
def test_an_answer_that_is_none_says_what_it_is_not(
    content_type: str, body: bytes, message: str
) -> None:
    play = Play(ASKED)
    play.answer(200, body, content_type)
    assert (play.whole.status, last_words(play)) == (502, message)


@pytest.mark.parametrize("blanks", [[], [b"\n"], [b"\xef\xbb", b"\xbf", b" " * 300, b"\r\n"]])
@pytest.mark.parametrize("attempt", [{}, {"dialect": "openai"}], ids=["relayed", "translated"])
@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        (b"\xef\xbb\xbf\r\n {\"error\": {\"message\": \"no room\"}}", "upstream_error", "no room"),
        (b'{"detail": "Not Found"}', "upstream_error", "Not Found"),
        (b'{"a": ', "upstream_protocol_error", "the upstream's answer is not valid JSON"),
        (b"\n<!doctype html><title>data: x</title>", "upstream_protocol_error",
         "the upstream answered with a page under the name of a stream"),
    ],
)  # fmt: skip
def test_what_only_calls_itself_a_stream_is_known_by_its_first_bytes(
    body: bytes, status: str, message: str, attempt: dict[str, Any], blanks: list[bytes]
) -> None:
    play = Play(request_of("openai"), attempt=attempt)
    play.stream(*blanks, body, end="complete")
    assert play.row.bytes_in == len(b"".join([*blanks, body]))
    assert (play.row.status, play.row.error_message) == (status, message)
    assert (play.whole.status, last_words(play)) == (502, message)


def test_blanks_before_the_first_event_are_of_its_stream() -> None:
    play = Play(request_of("openai"))
    play.stream(b"\n", b"\r\n", ROLE, text("hi"), FINISH, DONE, end="complete")
    assert (play.row.status, play.row.frames_in) == ("completed", 4)
    assert play.body.endswith(ROLE + text("hi") + FINISH + DONE)


WHOLE_OPENAI = json.dumps({"id": "c", "model": "m", "choices": [
    {"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}
], "usage": {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13}}, indent=1).encode()  # fmt: skip
WHOLE_ANTHROPIC = json.dumps({
    "id": "m", "type": "message", "role": "assistant", "model": "m", "stop_reason": "end_turn",
    "content": [{"type": "text", "text": "hi"}], "usage": {"input_tokens": 9, "output_tokens": 4},
}).encode()  # fmt: skip


def test_a_whole_answer_under_the_name_of_a_stream_becomes_one() -> None:
    play = Play(request_of("openai"))
    play.stream(WHOLE_OPENAI[:7], WHOLE_OPENAI[7:], end="complete")
    assert b'"content":"hi"' in play.body.replace(b": ", b":")
    assert play.body.endswith(b"data: [DONE]\n\n")
    assert (play.row.status, play.row.output_tokens) == ("completed", 4)


@pytest.mark.parametrize("dialect", [None, "openai", "anthropic"])
def test_json_under_the_name_of_a_stream_answers_who_asked_for_json(dialect: str | None) -> None:
    play = Play(request_of("openai", stream=False), attempt={"dialect": dialect})
    raw = WHOLE_ANTHROPIC if dialect == "anthropic" else WHOLE_OPENAI
    play.stream(b"\n", raw[:7], raw[7:], end="complete")
    said = json.loads(play.whole.body)["choices"][0]["message"]["content"]
    assert (play.whole.status, said) == (200, "hi")
    assert (play.row.status, play.row.output_tokens) == ("completed", 4)
    assert play.row.bytes_in == len(raw) + 1


@pytest.mark.parametrize("begin", [b": ping\n\n", ROLE, b"event: x\n", b"[1]"])
def test_a_stream_that_nobody_asked_for_is_refused_by_its_first_bytes(begin: bytes) -> None:
    play = Play(chat_request(stream=False))
    play.stream(b"\r\n", begin)
    assert (play.whole.status, play.row.status) == (502, "upstream_protocol_error")
    assert last_words(play) == "the upstream answered with a stream that was not asked for"
    assert play.of(CloseUpstream)


def test_what_is_too_large_says_its_bound() -> None:
    whole = Play(ASKED)
    whole.head(200, "application/json", None)
    piece = b"x" * (1 << 20)
    whole.data(*[piece] * 32)
    assert not whole.of(Commit)
    whole.data(b"x")
    assert last_words(whole) == "the upstream's answer is larger than 32 MiB"
    frame = Play(ASKED)
    frame.stream(b"data: ", *[piece] * (FRAME_LIMIT >> 20))
    assert last_words(frame) == "a frame of the upstream is larger than 32 MiB"
    flood = Play(ASKED)
    flood.stream(*[b": " + piece + b"\n\n"] * 9)
    assert last_words(flood) == "the upstream sends nothing but comments"


def test_a_drain_is_capped_at_its_seconds_and_its_tokens() -> None:
    attempt = {"on_disconnect": "drain", "drain": Drain(max_seconds=10.0, max_tokens=2)}
    late = Play(ASKED, attempt=attempt)
    late.stream(text("a"))
    assert late.do("client_gone", at=1.0) == [WakeAt(START + 11.0)]
    assert late.do("upstream_data", text("b"), at=10.9) == []
    assert late.do("tick", at=10.9) == []
    assert late.do("tick", at=11.0)[0] == CloseUpstream()
    assert (late.row.disposition, late.row.drain_ms) == (Disposition.DRAIN_CAPPED, 10_000.0)
    long = Play(ASKED, attempt=attempt)
    long.stream(text("a"))
    long.do("client_gone")
    assert long.do("upstream_data", text("b")) == []
    assert long.do("upstream_data", text("c"))[0] == CloseUpstream()
    assert long.row.disposition is Disposition.DRAIN_CAPPED
    assert long.row.anomalies == ["drain_capped"]


def test_with_timings_the_wait_behind_the_marker_is_short() -> None:
    timed = b'data: {"choices":[],"timings":{"prompt_n":3,"cache_n":0,"predicted_n":7}}\n\n'
    play = Play(ASKED, kind="llamacpp")
    play.stream(text("a"), FINISH, timed)
    assert play.do("upstream_data", DONE, at=1.0)[-1] == WakeAt(START + 1.01)


@pytest.mark.parametrize("last", [DONE, b'data: {"error": {"message": "no"}}\n\n'])
def test_a_paused_upstream_is_read_on_once_the_client_has_its_part(last: bytes) -> None:
    play = Play(ASKED)
    play.stream(text("a"))
    assert play.do("client_blocked", at=1.0) == [PauseUpstream()]
    actions = play.do("upstream_data", last, at=5.0)
    assert actions == [SendData(last), EndClient(), ResumeUpstream(), WakeAt(START + 6.0)]
    assert play.do("client_blocked") == []
    assert play.do("client_writable") == []


@pytest.mark.parametrize(
    ("ends", "message"),
    [
        ("reset", "the upstream reset the connection before it answered"),
        ("complete", "the upstream could not be reached"),
        ("protocol", "the upstream's answer is not legal HTTP"),
        ("coding", "the upstream's answer has a content coding that was not asked for"),
    ],
)
def test_an_end_without_a_head_is_named(ends: str, message: str) -> None:
    play = Play(ASKED)
    play.connect()
    play.do("upstream_end", ends)
    assert last_words(play) == message


def test_a_reset_behind_the_first_frame_is_a_cut_stream() -> None:
    play = Play(ASKED)
    play.stream(ROLE, end="reset")
    assert play.row.status is Status.STREAM_INCOMPLETE


def test_an_unread_stream_has_its_deadlines_too() -> None:
    limits = {"limits": Limits(first_token=3.0, idle=5.0)}
    play = Play(ASKED, attempt=limits, keepalive_seconds=0, metering=False)
    play.stream(text("a"))
    play.do("upstream_data", text("b"), at=3.0)
    assert play.do("tick", at=8.0) == []
    play.do("tick", at=8.5)
    assert last_words(play) == "the upstream's next token took longer than 5 s"


def test_a_json_answer_for_a_client_that_has_left_is_booked() -> None:
    play = Play(ASKED, attempt={"on_disconnect": "drain"})
    play.connect()
    play.do("client_gone", at=1.0)
    play.do("attempt_head", 200, "application/json", None, at=2.0)
    play.do("upstream_data", b'{"choices":[{"message":{"content":"a"}}]}', at=3.0)
    play.do("upstream_end", "complete", at=4.0)
    row = play.row
    assert play.told == ""
    assert (row.status, row.success, row.ttft_ms) == (Status.CLIENT_DISCONNECTED, True, 4000.0)
    assert (row.frames_in, row.drain_ms, row.stream_duration_ms) == (1, 3000.0, 4000.0)


def test_a_whole_answer_keeps_its_status_and_its_bytes() -> None:
    body = b'{"output":[{"type":"message","content":[{"type":"output_text","text":"a"}]}]}'
    play = Play(chat_request("responses", stream=False))
    play.answer(201, body)
    row = play.row
    assert (play.whole.status, play.whole.body, row.http_status) == (201, body, 201)
    assert (row.bytes_out, row.bytes_in, row.anomalies) == (len(body), len(body), [])
    assert (row.delivered, row.disposition) == (Delivered.ALL, Disposition.READ_TO_END)
    assert (row.ttft_ms, row.stalls, row.frames_out) == (None, None, None)


def test_an_answer_whose_stream_would_be_too_large_ends_once() -> None:
    play = Play(ASKED)
    said = b"x" * (FRAME_LIMIT - 50)
    play.answer(200, b'{"choices":[{"message":{"content":"' + said + b'"}}]}')
    assert len(play.of(Commit)) == 1
    assert play.row.anomalies == ["oversize_frame"]


@pytest.mark.parametrize("step", ["start", "begun"])
def test_a_client_that_leaves_before_the_request_has_left_is_not_drained(step: str) -> None:
    play = Play(ASKED, attempt={"on_disconnect": "drain"})
    play.do("start")
    if step == "begun":
        play.do("begun")
    assert play.do("client_gone")[0] == CloseUpstream()
    assert play.row.disposition is Disposition.CANCELLED


def test_a_drain_that_saw_the_marker_is_not_capped() -> None:
    play = Play(ASKED, attempt={"on_disconnect": "drain"})
    play.stream(text("a"))
    play.do("client_gone", at=1.0)
    play.do("upstream_data", FINISH + USAGE + DONE, at=2.0)
    assert play.do("tick", at=2.005) == []
    play.do("tick", at=2.5)
    row = play.row
    assert (row.disposition, row.anomalies, row.success) == (Disposition.DRAINED, [], True)
    assert row.drain_ms == 1500.0


@pytest.mark.parametrize(
    ("end", "told"),
    [
        (b"\n\n", True),
        (b"\r\n\r\n", True),
        (b"\n\r\n", True),
        (b"\r\r", True),
        (b"\n", False),
        (b"\r\n", False),
        (b"x", False),
    ],
)
def test_between_unread_frames_a_keep_alive_may_stand(end: bytes, told: bool) -> None:
    for pieces in ([b"data: {}" + end], [b"data: {}", *(end[n : n + 1] for n in range(len(end)))]):
        play = Play(ASKED, metering=False)
        play.stream(*pieces)
        assert bool(play.do("tick", at=15.0)) is told


def test_the_frames_that_were_parsed_are_counted() -> None:
    play = Play(ASKED)
    play.connect()
    assert play.exchange.parsed_frames == 0
    play.do("attempt_head", 200, SSE, None)
    play.data(ROLE, text("a"), b": ping\n\n")
    assert play.exchange.parsed_frames == 2
