"""An upstream that refuses the usage option is asked once more without it (SPEC §3.2)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from streamgauge.core.actions import (
    AttemptOver,
    BeginAttempt,
    CloseUpstream,
    Commit,
    OpenUpstream,
    RememberRefusal,
)
from streamgauge.core.record import Status

from .playbook import DONE, FINISH, SSE, Play, chat_request, text

ASKED = chat_request(stream_options={"include_usage": True})
JSON = "application/json"


def error_body(message: str) -> bytes:
    return json.dumps({"error": {"message": message}}).encode()


REFUSAL = error_body("unknown field stream_options")


def test_a_refused_usage_option_is_taken_back_once_and_remembered() -> None:
    play = Play(chat_request())
    play.answer(400, REFUSAL)
    (remember,) = play.of(RememberRefusal)
    assert remember.upstream == "up"
    assert (play.opens, len(play.of(BeginAttempt)), play.told) == (2, 1, "")
    assert len(play.requests) == 1, "the second row is not committed yet"
    play.do("connected")
    play.do("begun", at=0.5)
    first, second = play.requests
    assert b'"include_usage"' in first
    assert b"include_usage" not in second
    play.do("attempt_head", 200, SSE, None)
    play.data(text("a"), FINISH, DONE)
    play.do("upstream_end", "complete", at=0.75)
    row, attempts = play.row, play.of(Commit)[0].attempts
    assert (row.status, row.attempts, row.latency_ms) == (Status.COMPLETED, 2, 500.0)
    assert [(a.n, a.outcome, a.http_status) for a in attempts] == [
        (1, "upstream_error", 400),
        (2, "completed", 200),
    ]
    assert [a.may_have_been_billed for a in attempts] == [False, True]
    assert play.exchange.may_have_been_billed


def test_an_exchange_whose_only_call_was_refused_is_not_billed() -> None:
    play = Play(chat_request())
    play.answer(401, REFUSAL)
    assert play.row.status is Status.UPSTREAM_ERROR
    assert not play.exchange.may_have_been_billed


def test_the_refused_call_is_closed_before_the_next_one_opens() -> None:
    play = Play(chat_request())
    play.head(400, JSON)
    play.data(REFUSAL + b" " * 70_000)
    kinds = [type(action) for action in play.log[-5:]]
    assert kinds == [RememberRefusal, CloseUpstream, AttemptOver, BeginAttempt, OpenUpstream]


def test_a_second_refusal_is_the_clients() -> None:
    play = Play(chat_request())
    play.answer(400, REFUSAL)
    play.do("begun")
    play.do("connected")
    play.do("attempt_head", 400, JSON, None)
    play.data(REFUSAL)
    play.do("upstream_end", "complete")
    assert (play.whole.status, play.opens) == (400, 2)


def test_a_second_attempt_without_an_answer_has_no_times_of_the_first() -> None:
    play = Play(chat_request())
    play.answer(400, REFUSAL)
    play.do("begun")
    play.do("attempt_failed", "refused", at=2.0)
    row, (first, second) = play.row, play.of(Commit)[0].attempts
    assert (row.latency_ms, row.first_byte_ms, row.bytes_in) == (None, None, None)
    assert (first.first_byte_ms, second.first_byte_ms) == (0.0, None)


@pytest.mark.parametrize(
    ("request_", "attempt", "status", "body"),
    [
        (ASKED, {}, 400, REFUSAL),
        (chat_request(), {"inject_usage": "false"}, 400, REFUSAL),
        (chat_request(), {"refuses_usage": True}, 400, REFUSAL),
        (chat_request(), {}, 400, error_body("model not found")),
        (chat_request(), {}, 422, REFUSAL),
        (chat_request(stream=False), {}, 400, REFUSAL),
    ],
)
def test_no_other_refusal_is_asked_again(
    request_: Any, attempt: dict[str, Any], status: int, body: bytes
) -> None:
    play = Play(request_, attempt=attempt)
    play.answer(status, body)
    assert (play.opens, play.whole.status) == (1, status)


def test_refused_running_counts_are_taken_back_too() -> None:
    play = Play(ASKED, kind="llamacpp", attempt={"running_usage": True})
    play.answer(400, error_body("timings_per_token?"))
    play.do("begun")
    play.do("connected")
    first, second = play.requests
    assert b"timings_per_token" in first
    assert b"timings_per_token" not in second


def test_a_client_gone_is_not_asked_for_again() -> None:
    play = Play(chat_request(), attempt={"on_disconnect": "drain"})
    play.head(400, JSON)
    play.do("client_gone")
    play.data(REFUSAL)
    play.do("upstream_end", "complete")
    assert (play.opens, play.row.status) == (1, Status.CLIENT_DISCONNECTED)


@pytest.mark.parametrize("how", ["client_gone", "stop", "supersede", "shutdown"])
def test_an_end_between_two_attempts_is_one_end(how: str) -> None:
    play = Play(chat_request())
    play.answer(400, REFUSAL)
    play.do(how)
    assert (play.closes, play.row.attempts) == (1, 2)
    assert len(play.requests) == 1
    assert play.of(Commit)[0].attempts[1].may_have_been_billed is False
