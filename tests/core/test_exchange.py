"""How an exchange begins and how the upstream's part ends it: each row of SPEC §5.1, F20–F40."""

from __future__ import annotations

import json
from typing import Any

import pytest

from streamgauge.core.actions import (
    AttemptOver,
    BeginRecord,
    Commit,
    OpenUpstream,
    SendData,
    SendHead,
    SendRequest,
)
from streamgauge.core.deadlines import BEGIN_WAIT
from streamgauge.core.record import Delivered, Disposition, Status
from streamgauge.core.sse import READ_UP_TO

from .playbook import DONE, FINISH, ROLE, SSE, USAGE, Play, chat_request, chunk, text

ASKED = chat_request(stream_options={"include_usage": True})
MESSAGES = chat_request("messages", max_tokens=5)


def kinds(actions: list[Any]) -> list[type]:
    return [type(action) for action in actions]


# --- the beginning -------------------------------------------------------------------------------


def test_nothing_is_sent_upstream_before_the_row_is_committed() -> None:
    play = Play()
    assert kinds(play.do("start")) == [BeginRecord, OpenUpstream]
    assert play.do("connected") == []
    (request,) = play.do("begun", at=0.002)
    assert isinstance(request, SendRequest)
    assert play.exchange.record.overhead_us == 2000.0


def test_nothing_is_sent_upstream_before_it_is_connected() -> None:
    play = Play()
    play.do("start")
    assert play.do("begun") == []
    assert kinds(play.do("connected")) == [SendRequest]
    assert play.do("begun") == []
    assert play.do("connected") == []


def test_with_an_asynchronous_begin_the_row_is_not_awaited() -> None:
    play = Play(begin_first=False)
    play.do("start")
    assert kinds(play.do("connected")) == [SendRequest]
    assert play.do("begun") == []


def test_an_asynchronous_begin_that_fails_late_does_not_harm_the_stream() -> None:
    play = Play(ASKED, begin_first=False)
    play.do("start")
    play.do("connected")
    play.do("attempt_head", 200, SSE, None)
    play.data(text("a"))
    assert play.do("begin_failed") == []
    play.data(FINISH, USAGE, DONE)
    play.do("upstream_end", "complete")
    assert play.row.status is Status.COMPLETED


@pytest.mark.parametrize("connected", [False, True])
@pytest.mark.parametrize(("request_", "status"), [(ASKED, 503), (MESSAGES, 529)])
def test_where_the_row_cannot_be_committed_no_upstream_is_called(
    connected: bool, request_: Any, status: int
) -> None:
    play = Play(request_)
    play.do("start")
    if connected:
        play.do("connected")
    play.do("begin_failed")
    assert not play.requests
    assert (play.whole.status, play.closes) == (status, 1)
    assert json.loads(play.whole.body)["error"]["code"] == "ledger_unavailable"
    row = play.row
    assert (row.status, row.success, row.http_status) == (Status.REJECTED, False, status)
    assert (row.upstream, row.upstream_model, row.attempts) == (None, None, 0)
    assert play.of(Commit)[0].attempts == ()
    [over] = play.of(AttemptOver)  # its upstream's circuit is told that nothing was tried
    assert (over.attempt.outcome, over.attempt.may_have_been_billed) == ("rejected", False)


@pytest.mark.parametrize("connected", [False, True])
def test_a_row_that_does_not_come_is_not_waited_for_without_end(connected: bool) -> None:
    play = Play(ASKED)
    play.do("start")
    if connected:
        play.do("connected")
    assert play.do("tick", at=BEGIN_WAIT) == []
    play.do("tick", at=BEGIN_WAIT + 1)
    assert (play.whole.status, play.closes) == (503, 1)
    assert json.loads(play.whole.body)["error"]["code"] == "ledger_unavailable"
    assert play.do("begun") == []
    assert not play.requests
    assert (play.row.status, len(play.of(Commit))) == (Status.REJECTED, 1)
    assert (play.row.upstream, play.row.attempts, play.of(Commit)[0].attempts) == (None, 0, ())


def test_a_row_that_came_late_is_waited_for_no_more() -> None:
    play = Play(ASKED)
    play.do("start")
    play.do("connected")
    play.do("begun", at=BEGIN_WAIT - 1)
    play.do("tick", at=BEGIN_WAIT + 1)  # a keep-alive
    assert (len(play.requests), play.closes, play.of(Commit)) == (1, 0, [])


def test_the_open_row_says_what_is_known_at_the_start() -> None:
    play = Play(ASKED, client_request_id="c-1", client_app="app", key_id="k", config_version="v")
    begin = play.do("start")[0]
    assert isinstance(begin, BeginRecord)
    row = begin.record
    assert (row.id, row.owner, row.status, row.success) == (
        play.facts.id,
        "boot",
        "in_flight",
        None,
    )
    assert (row.dialect, row.endpoint, row.streaming) == ("openai", "chat/completions", True)
    assert (row.client_request_id, row.client_app, row.key_id) == ("c-1", "app", "k")
    assert (row.upstream, row.upstream_model, row.route, row.attempts) == ("up", "m", "r", 1)
    assert (begin.attempt.n, begin.attempt.request_id, begin.attempt.started_at) == (
        1,
        row.id,
        row.started_at,
    )


# --- completed -----------------------------------------------------------------------------------


def test_a_whole_stream_is_completed() -> None:
    play = Play(ASKED)
    sent = (ROLE, text("a"), text("b"), FINISH, USAGE, DONE)
    play.stream(*sent, end="complete")
    assert play.body == b"".join(sent)
    assert play.told == "head " + "data " * 6 + "end"
    row = play.row
    assert (row.status, row.success, row.http_status) == (Status.COMPLETED, True, 200)
    assert (row.delivered, row.disposition) == (Delivered.ALL, Disposition.READ_TO_END)
    assert (row.input_tokens, row.output_tokens, row.usage_source) == (9, 4, "provider")
    assert (row.frames_in, row.frames_out, row.anomalies) == (6, 6, [])
    assert row.bytes_in == row.bytes_out == len(play.body)
    (attempt,) = play.of(Commit)[0].attempts
    assert (attempt.outcome, attempt.http_status, attempt.output_tokens) == ("completed", 200, 4)
    assert attempt.may_have_been_billed is True


def test_each_frame_leaves_with_the_read_that_ended_it() -> None:
    play = Play(ASKED)
    play.head()
    frame = text("a")
    assert play.do("upstream_data", frame[:9]) == []
    assert kinds(play.do("upstream_data", frame[9:])) == [SendHead, SendData]


def test_a_whole_answer_is_completed_when_its_framing_says_so() -> None:
    usage = {"prompt_tokens": 3, "completion_tokens": 2}
    choice = {"index": 0, "message": {"content": "hi"}, "finish_reason": "stop"}
    body = json.dumps({"model": "m2", "choices": [choice], "usage": usage}).encode()
    play = Play(chat_request(stream=False))
    play.head(200, "application/json")
    play.data(body[:10], body[10:])
    play.do("upstream_end", "complete", at=2.5)
    assert (play.whole.status, play.whole.body) == (200, body)
    row = play.row
    assert (row.status, row.delivered, row.finish_reason) == ("completed", "all", "stop")
    assert (row.input_tokens, row.output_tokens, row.usage_source) == (3, 2, "provider")
    assert (row.ttft_ms, row.response_model, row.stalls) == (None, "m2", None)
    assert row.stream_duration_ms == 2500.0


@pytest.mark.parametrize("kind", ["cut", "reset", "protocol"])
def test_after_the_marker_an_improper_end_is_only_an_anomaly(kind: str) -> None:
    play = Play(ASKED)
    play.stream(text("a"), FINISH, USAGE, DONE, end=kind)
    assert (play.row.status, play.row.anomalies) == (Status.COMPLETED, ["missing_last_chunk"])


def test_a_connection_held_open_after_the_marker_keeps_nobody_waiting() -> None:
    play = Play(ASKED)
    play.stream(text("a"), FINISH, USAGE, DONE)
    assert play.told.endswith("data end")
    assert play.wakes == [0.01]
    play.do("tick", at=0.011)
    assert play.row.status is Status.COMPLETED
    assert play.closes == 1


@pytest.mark.parametrize(
    ("request_", "attempt"),
    [
        (chat_request(), {}),
        (ASKED, {}),
        (chat_request(), {"inject_usage": "false"}),
        (chat_request(stream_options={"include_usage": False}), {}),
    ],
)
def test_usage_behind_the_marker_still_counts_for_a_second(
    request_: Any, attempt: dict[str, Any]
) -> None:
    play = Play(request_, attempt=attempt)
    play.stream(text("a"), FINISH, DONE)
    assert play.wakes == [1.0]
    play.do("tick", at=0.9)
    assert not play.of(Commit)
    play.data(USAGE)
    play.do("upstream_end", "complete")
    row = play.row
    assert (row.output_tokens, row.usage_source) == (4, "provider")
    assert (row.anomalies, row.stream_duration_ms) == (["usage_after_marker"], 0.0)
    assert play.body.endswith(DONE)


def test_without_usage_behind_the_marker_the_row_closes_after_a_second() -> None:
    play = Play()
    play.stream(text("a"), FINISH, DONE)
    play.do("tick", at=1.0)
    assert (play.row.usage_source, play.row.output_tokens) == ("counted", 1)


def test_a_second_marker_and_what_follows_it_change_nothing_for_the_client() -> None:
    play = Play(ASKED)
    play.stream(text("a"), FINISH, USAGE, DONE + DONE + text("late"), end="complete")
    assert play.body.endswith(USAGE + DONE)
    assert play.body.count(DONE) == 1
    assert play.row.anomalies == ["data_after_marker", "second_marker"]
    assert play.row.status is Status.COMPLETED


def test_a_completed_stream_without_content_is_flagged() -> None:
    play = Play(ASKED)
    play.stream(ROLE, FINISH, USAGE, DONE, end="complete")
    assert (play.row.status, play.row.anomalies) == (Status.COMPLETED, ["empty_answer"])


def test_a_call_without_arguments_is_an_answer() -> None:
    call = {"index": 0, "id": "c1", "function": {"name": "now", "arguments": ""}}
    play = Play(ASKED)
    play.stream(ROLE, chunk(choices=[{"delta": {"tool_calls": [call]}}]), FINISH, USAGE, DONE)
    play.do("upstream_end", "complete")
    assert (play.row.status, play.row.anomalies) == (Status.COMPLETED, [])


def test_a_stream_whose_content_was_not_read_is_not_called_empty() -> None:
    play = Play(ASKED)
    play.stream(ROLE, text("x" * READ_UP_TO), FINISH, USAGE, DONE, end="complete")
    assert (play.row.status, play.row.anomalies) == (Status.COMPLETED, ["oversize_line"])


def test_an_exchange_shows_its_id_and_where_it_stands() -> None:
    play = Play()
    assert repr(play.exchange) == "<Exchange exchange-id-00001 PLANNING>"
    play.stream(text("a"), FINISH, USAGE, DONE, end="complete")
    assert repr(play.exchange) == "<Exchange exchange-id-00001 DONE>"
