"""What the upstream refuses or reports: refusals, error frames, the usage option, odd answers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from streamgauge.core.actions import (
    Commit,
)
from streamgauge.core.record import Status

from .playbook import (
    DONE,
    ROLE,
    SSE,
    USAGE,
    Play,
    chat_request,
    chunk,
    last_payload,
    request_of,
    text,
)

ASKED = chat_request(stream_options={"include_usage": True})
MESSAGES = chat_request("messages", max_tokens=5)
KEY = "sk-upstream-secret-1"
SECRET = {"secrets": frozenset({KEY, "abc"})}
JSON = "application/json"


def error_body(message: str = "no", **more: Any) -> bytes:
    return json.dumps({"error": {"message": message, **more}}).encode()


# --- error statuses ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "content_type", "body", "told", "code"),
    [
        *((s, JSON, error_body(), s, "upstream_error") for s in (400, 402, 404, 408, 409, 413, 422, 429)),
        *((s, JSON, error_body(), s, "upstream_error") for s in (500, 502, 503, 529)),
        (401, JSON, error_body(), 502, "upstream_auth"),
        (403, JSON, error_body(), 502, "upstream_auth"),
        (500, "text/html", b"<h1>oops</h1>", 502, "upstream_error"),
        (500, None, b"", 502, "upstream_error"),
        (418, JSON, error_body(), 502, "upstream_error"),
        *((s, SSE, error_body(), s, "upstream_error") for s in (400, 429, 500)),
        (401, SSE, error_body(), 502, "upstream_auth"),
        (500, SSE, b'{"choices": [{"message": {"content": "hi"}}]}', 500, "upstream_error"),
        (429, SSE, b"data: " + error_body() + b"\n\n", 502, "upstream_error"),
        (503, SSE, b"<h1>oops</h1>", 502, "upstream_error"),
        (301, "text/html", b"", 502, "upstream_error"),
        (307, JSON, b"{}", 502, "upstream_error"),
        (204, None, b"", 502, "upstream_protocol_error"),
        (101, None, b"", 502, "upstream_protocol_error"),
        (200, "text/html", b"<html>", 502, "upstream_protocol_error"),
        (200, "text/plain; charset=utf-8", b"hi", 502, "upstream_protocol_error"),
        (200, JSON, b"not json", 502, "upstream_protocol_error"),
        (200, JSON, b"[1]", 502, "upstream_protocol_error"),
        (200, JSON, b'{"hello": 1}', 502, "upstream_protocol_error"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("request_", [ASKED, MESSAGES], ids=["openai", "anthropic"])
def test_an_error_status_or_a_wrong_answer_is_an_http_error(
    request_: Any, status: int, content_type: str | None, body: bytes, told: int, code: str
) -> None:
    play = Play(request_)
    play.head(status, content_type)
    play.data(body)
    play.do("upstream_end", "complete")
    assert (play.whole.status, play.row.http_status) == (told, told)
    error = json.loads(play.whole.body)["error"]
    assert (error["code"], play.row.error_code) == (code, code)
    wanted = "upstream_protocol_error" if code == "upstream_protocol_error" else "upstream_error"
    assert (play.row.status, play.row.success, play.row.output_tokens) == (wanted, False, None)
    assert b"oops" not in play.whole.body


@pytest.mark.parametrize(
    ("blamed", "told"),
    [
        ("messages[1].content", "messages[1].content"),
        (f"tools.{KEY}", "tools.[redacted]"),
        ("abcdefgh", "[redacted]"),
        (7, None),
        ("", None),
        (None, None),
    ],
)
def test_the_field_that_the_upstream_blames_is_told(blamed: object, told: str | None) -> None:
    secrets = {"secrets": frozenset({"abcdefgh"})}
    play = Play(ASKED, attempt=secrets)
    play.answer(400, error_body(param=blamed))
    assert json.loads(play.whole.body)["error"]["param"] == told
    streamed = Play(ASKED, attempt=secrets)
    streamed.head()
    streamed.data(chunk(error={"message": "no", "code": 400, "param": blamed}))
    streamed.do("upstream_end", "complete")
    assert json.loads(streamed.whole.body)["error"]["param"] == told
    hidden = Play(ASKED, attempt=secrets)
    hidden.answer(401, error_body(param=blamed))
    assert json.loads(hidden.whole.body)["error"]["param"] is None


def test_a_refused_call_was_not_billed_and_says_when_to_come_back() -> None:
    play = Play(ASKED)
    play.answer(429, error_body("slow down"), wait="60")
    assert play.whole.retry_after == "60"
    (attempt,) = play.of(Commit)[0].attempts
    assert (attempt.http_status, attempt.may_have_been_billed) == (429, False)
    assert play.row.error_message == "slow down"


def test_a_refusal_that_never_ends_is_told_all_the_same() -> None:
    play = Play(ASKED)
    play.head(500, JSON)
    play.data(error_body("big")[:-2], *[b" " * 40_000] * 2)
    assert play.whole.status == 502
    assert play.closes == 1


@pytest.mark.parametrize("kind", ["cut", "reset", "protocol"])
def test_a_cut_refusal_is_told_all_the_same(kind: str) -> None:
    play = Play(ASKED)
    play.head(503, JSON)
    play.data(error_body("down"))
    play.do("upstream_end", kind)
    assert (play.whole.status, play.row.status) == (503, Status.UPSTREAM_ERROR)


@pytest.mark.parametrize("kind", ["cut", "reset", "protocol"])
@pytest.mark.parametrize("got", [b"", b'{"choices": ['])
def test_a_cut_answer_is_no_answer(kind: str, got: bytes) -> None:
    play = Play(chat_request(stream=False))
    play.head(200, JSON)
    play.data(*([got] if got else []))
    play.do("upstream_end", kind)
    wanted = {"cut": "stream_incomplete", "protocol": "upstream_protocol_error"}
    reset = "stream_incomplete" if got else "upstream_error"
    assert play.whole.status == 502
    assert play.row.status == wanted.get(kind, reset)
    assert (play.row.usage_source, play.row.delivered) == ("none", "none")


def test_an_answer_beyond_32_mib_is_refused() -> None:
    play = Play(chat_request(stream=False))
    play.head(200, JSON)
    play.data(*[b" " * (1 << 20)] * 33)
    assert play.row.status is Status.UPSTREAM_PROTOCOL_ERROR
    assert (play.whole.status, play.closes) == (502, 1)


def test_an_error_object_as_a_whole_answer_is_an_http_error() -> None:
    play = Play(chat_request(stream=False))
    play.answer(200, error_body(f"key {KEY} is bad", code=400))
    assert (play.whole.status, play.row.status) == (400, Status.UPSTREAM_ERROR)


# --- error frames --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "status"),
    [({"message": "busy", "code": 429}, 429), ({"message": "busy"}, 502), ({"code": 401}, 502)],
)
@pytest.mark.parametrize("before", [b"", b": ping\n\n"])
def test_an_error_as_the_first_frame_is_an_http_error(
    error: dict[str, Any], status: int, before: bytes
) -> None:
    play = Play(ASKED)
    play.stream(before + b"data: " + json.dumps({"error": error}).encode() + b"\n\n" + DONE)
    play.do("upstream_end", "complete")
    assert play.whole.status == status
    assert (play.row.status, play.row.http_status) == (Status.UPSTREAM_ERROR, status)
    assert play.row.delivered == "none"


@pytest.mark.parametrize("before", [(ROLE, text("a")), ()])
def test_times_stop_where_the_client_is_told_of_the_error(before: tuple[bytes, ...]) -> None:
    play = Play()
    play.stream(*before)
    play.now = 0.5
    play.data(chunk(error={"message": "broke", "code": 500}))
    play.now = 0.9
    play.data(text("late"))  # read on, for usage
    play.do("tick", at=1.6)
    assert play.row.stream_duration_ms == 500.0
    assert play.row.ttft_ms == (0.0 if before else None)


def test_an_error_frame_is_the_last_thing_the_client_gets() -> None:
    play = Play(ASKED)
    error = chunk(error={"message": "broke", "code": 500})
    play.stream(ROLE, text("a"), error, text("b") + USAGE, DONE)
    assert play.body == ROLE + text("a") + error
    assert play.told == "head data data data end"
    assert not play.of(Commit), "the upstream is read on for usage"
    play.do("tick", at=1.0)
    row = play.row
    assert (row.status, row.error_message) == (Status.UPSTREAM_ERROR, "broke")
    assert (row.usage_source, row.output_tokens) == ("provider", 4)
    assert play.closes == 1


def test_an_error_frame_in_the_read_of_its_text_comes_behind_it() -> None:
    play = Play(ASKED)
    error = chunk(error="broke")
    play.stream(text("a") + error + DONE, end="complete")
    assert play.body == text("a") + error
    assert (play.row.status, play.row.usage_source) == (Status.UPSTREAM_ERROR, "counted")


def test_what_stopped_groqs_stream_early_is_an_error() -> None:
    play = Play(ASKED)
    play.stream(text("a"), chunk(choices=[], x_groq={"error": "over capacity"}), DONE)
    play.do("upstream_end", "complete")
    assert last_payload(play.body)["error"]["message"] == "over capacity"
    assert (play.row.status, play.row.success) == (Status.UPSTREAM_ERROR, False)


@pytest.mark.parametrize("apart", [True, False])
@pytest.mark.parametrize("client", ["openai", "anthropic"])
def test_of_two_errors_the_first_is_told_however_they_are_read(client: Any, apart: bool) -> None:
    translated = {"dialect": "openai"} if client == "anthropic" else {}
    play = Play(request_of(client), attempt=translated)
    wire = [text("a"), chunk(error={"message": "first", "code": 503}), chunk(error="second")]
    play.stream(*(wire if apart else [b"".join(wire)]), end="complete")
    assert last_payload(play.body)["error"]["message"] == "first"
    assert play.row.error_message == "first"


def test_secrets_are_removed_from_an_error_frame() -> None:
    play = Play(ASKED, attempt=SECRET)
    play.stream(text("abc " + KEY), chunk(error={"message": f"bad key {KEY} abc"}), end="cut")
    frame = play.body.partition(b'"error"')[2]
    assert KEY.encode() not in frame
    assert b"[redacted] abc" in frame
    assert KEY not in str(play.row.error_message)
    assert KEY.encode() in play.body, "an answer's text is never touched"


@pytest.mark.parametrize("head_sent", [True, False])
def test_an_error_in_the_wrong_dialect_is_wrapped_again(head_sent: bool) -> None:
    play = Play(MESSAGES)
    start = b'event: message_start\ndata: {"type":"message_start","message":{"usage":{"input_tokens":4}}}\n\n'
    frame = (
        b'event: error\ndata: {"error":{"message":"broke","code":500,"type":"server_error"}}\n\n'
    )
    play.stream(*([start] if head_sent else []), frame, end="complete")
    told = last_payload(play.body) if head_sent else json.loads(play.whole.body)
    assert told["type"] == "error"
    assert (told["error"]["message"], told["error"]["code"]) == ("broke", "upstream_error")
    row = play.row
    assert row.status is Status.UPSTREAM_ERROR
    if head_sent:
        assert (row.anomalies, row.input_source) == (["partial_usage"], "provider")
        assert (row.input_tokens, row.output_tokens, row.usage_source) == (4, 0, "counted")


def test_a_client_gone_is_told_of_no_error() -> None:
    play = Play(ASKED, attempt={"on_disconnect": "drain"})
    play.stream(text("a"))
    play.do("client_gone")
    sent = play.told
    play.data(chunk(error="broke"))
    play.do("upstream_end", "complete")
    assert play.told == sent
    assert play.row.status is Status.CLIENT_DISCONNECTED
