"""The client's part of an exchange: leaving, stopping, silence, deadlines, and what it is told."""

from __future__ import annotations

import json
from typing import Any

import pytest

from streamgauge.core.actions import (
    CloseUpstream,
    Commit,
    OpenUpstream,
    PauseUpstream,
    ResumeUpstream,
)
from streamgauge.core.attempt import Attempt, Drain, Limits
from streamgauge.core.record import Delivered, Disposition, Status
from streamgauge.core.verdict import Breaking

from .playbook import (
    DONE,
    FINISH,
    PRICE,
    ROLE,
    SSE,
    START,
    USAGE,
    Play,
    chat_request,
    last_payload,
    text,
)

ASKED = chat_request(stream_options={"include_usage": True})
MESSAGES = chat_request("messages", max_tokens=5)
STREAMING = (ROLE, text("a"), text("b"))
DRAINS = {"on_disconnect": "drain"}

# Every place that an exchange can stand at, by what has happened so far.
PLACES: dict[str, Any] = {
    "started": lambda play: play.do("start"),
    "begun": lambda play: (play.do("start"), play.do("begun")),
    "sent": lambda play: play.connect(),
    "head": lambda play: play.head(),
    "keep-alive": lambda play: (play.connect(), play.do("tick", at=15.0)),
    "pinged": lambda play: play.stream(b": ping\n\n"),
    "role": lambda play: play.stream(ROLE),
    "content": lambda play: play.stream(*STREAMING),
    "refusal": lambda play: (play.head(500, "application/json"), play.data(b'{"err')),
    "whole": lambda play: (play.head(200, "application/json"), play.data(b'{"cho')),
}
TOLD = {"keep-alive", "role", "content"}  # where the head has gone out


# --- leaving -------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", PLACES)
def test_a_client_that_leaves_cancels_its_upstream_at_once(place: str) -> None:
    play = Play(ASKED, attempt={"on_disconnect": "cancel"})
    PLACES[place](play)
    told = play.told
    play.do("client_gone", at=16.0)
    assert play.told == told, "nothing is sent to nobody"
    assert play.closes == 1
    row = play.row
    assert (row.status, row.success) == (Status.CLIENT_DISCONNECTED, False)
    assert (row.disposition, row.drain_ms) == (Disposition.CANCELLED, 0.0)
    assert row.delivered == (Delivered.PART if place in ("role", "content") else Delivered.NONE)
    assert row.usage_source == ("counted" if place == "content" else "none")


def test_a_drained_stream_gives_its_own_numbers() -> None:
    play = Play(ASKED, attempt=DRAINS)
    play.stream(*STREAMING)
    play.do("client_gone", at=1.0)
    assert play.exchange.draining
    sent = play.body
    play.data(text("c"), FINISH, USAGE, DONE)
    play.do("upstream_end", "complete", at=3.5)
    assert play.body == sent
    assert play.closes == 0
    row = play.row
    assert (row.status, row.success) == (Status.CLIENT_DISCONNECTED, True)
    assert (row.disposition, row.drain_ms) == (Disposition.DRAINED, 2500.0)
    assert (row.output_tokens, row.usage_source) == (4, "provider")
    assert (row.delivered, row.finish_reason) == (Delivered.PART, "stop")


def test_a_drain_that_meets_an_error_is_no_success_for_all_its_marker() -> None:
    play = Play(ASKED, attempt=DRAINS)
    play.stream(*STREAMING)
    play.do("client_gone", at=1.0)
    play.data(b'data: {"error":{"message":"out of memory","code":500}}\n\n', DONE)
    play.do("upstream_end", "complete", at=3.5)
    row = play.row
    assert (row.status, row.success) == (Status.CLIENT_DISCONNECTED, False)
    assert (row.disposition, row.usage_source) == (Disposition.DRAINED, "counted")


@pytest.mark.parametrize(
    ("attempt", "kind", "pieces", "drained"),
    [
        ({"price": PRICE}, "openai", STREAMING, True),
        ({"price": PRICE}, "openai", (b": ping\n\n",), False),
        ({"price": PRICE}, "llamacpp", STREAMING, False),
        ({"price": PRICE}, "ollama", STREAMING, False),
        ({"price": PRICE}, "vllm", STREAMING, False),
        ({"price": PRICE}, "sim", STREAMING, False),
        ({}, "openai", STREAMING, False),
        ({"price": PRICE, "on_disconnect": "cancel"}, "openai", STREAMING, False),
        ({"on_disconnect": "drain"}, "llamacpp", (), True),
    ],
)
def test_auto_drains_what_is_paid_for_and_has_begun(
    attempt: dict[str, Any], kind: str, pieces: tuple[bytes, ...], drained: bool
) -> None:
    play = Play(ASKED, kind=kind, attempt=attempt)
    play.stream(*pieces)
    play.do("client_gone")
    assert play.exchange.draining is drained
    assert bool(play.of(Commit)) is not drained


def test_without_room_for_a_drain_the_upstream_is_closed() -> None:
    play = Play(ASKED, attempt=DRAINS)
    play.stream(*STREAMING)
    play.do("client_gone", may_drain=False)
    row = play.row
    assert (row.disposition, row.anomalies) == (Disposition.DRAIN_CAPPED, ["drain_capped"])
    assert (play.closes, row.usage_source) == (1, "counted")


def test_a_drain_ends_at_its_seconds() -> None:
    play = Play(ASKED, attempt={**DRAINS, "drain": Drain(max_seconds=5)})
    play.stream(*STREAMING)
    play.do("client_gone", at=1.0)
    assert play.wakes == [6.0]
    play.do("tick", at=5.9)
    assert not play.of(Commit)
    play.do("tick", at=6.0)
    assert (play.row.disposition, play.row.drain_ms) == (Disposition.DRAIN_CAPPED, 5000.0)
    assert (play.closes, play.row.output_tokens) == (1, 2)


def test_a_drain_ends_at_its_tokens() -> None:
    play = Play(ASKED, attempt={**DRAINS, "drain": Drain(max_tokens=2)})
    play.stream(*STREAMING)
    play.do("client_gone")
    play.data(text("c"))
    assert not play.of(Commit)
    play.data(text("d"))
    assert (play.row.disposition, play.row.output_tokens) == (Disposition.DRAIN_CAPPED, 4)


def test_what_came_before_its_client_left_is_no_part_of_a_drain() -> None:
    play = Play(ASKED, attempt={**DRAINS, "drain": Drain(max_tokens=2)})
    play.stream(ROLE, *map(text, "abcdefgh"))
    play.do("client_gone")
    play.data(text("i") + FINISH + USAGE + DONE)
    play.do("upstream_end", "complete")
    assert (play.row.disposition, play.row.usage_source) == (Disposition.DRAINED, "provider")


@pytest.mark.parametrize("ends", ["cut", "reset", "protocol", "complete"])
def test_an_upstream_that_dies_in_a_drain_is_not_the_clients_status(ends: str) -> None:
    play = Play(ASKED, attempt=DRAINS)
    play.stream(*STREAMING)
    play.do("client_gone")
    play.do("upstream_end", ends)
    assert (play.row.status, play.row.success) == (Status.CLIENT_DISCONNECTED, False)
    assert (play.row.usage_source, play.row.output_tokens) == ("counted", 2)


def test_a_drain_before_the_head_reads_the_whole_answer() -> None:
    usage = {"prompt_tokens": 3, "completion_tokens": 2}
    body = json.dumps({"choices": [], "usage": usage}).encode()
    play = Play(chat_request(stream=False), attempt=DRAINS)
    play.connect()
    play.do("client_gone")
    play.do("attempt_head", 200, "application/json", None)
    play.data(body)
    play.do("upstream_end", "complete")
    assert play.told == ""
    assert (play.row.success, play.row.output_tokens) == (True, 2)
    assert play.row.delivered is Delivered.NONE


def test_a_client_that_leaves_behind_the_marker_has_everything() -> None:
    play = Play(ASKED)
    play.stream(text("a"), FINISH, USAGE, DONE)
    assert play.do("client_gone") == []
    play.do("upstream_end", "complete")
    assert (play.row.status, play.row.delivered) == (Status.COMPLETED, Delivered.ALL)


def test_a_slow_reader_is_named() -> None:
    play = Play(ASKED)
    play.stream(*STREAMING)
    play.do("client_gone", slow_reader=True)
    assert play.row.anomalies == ["slow_reader"]


# --- stop and shutdown ---------------------------------------------------------------------------


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("request_", [ASKED, MESSAGES], ids=["openai", "anthropic"])
@pytest.mark.parametrize(
    ("how", "status", "code", "http"),
    [
        ("stop", Status.CANCELLED, "stream_cancelled", 499),
        ("supersede", Status.SUPERSEDED, "stream_cancelled", 499),
        ("shutdown", Status.SHUTDOWN, "server_shutdown", 503),
    ],
)
def test_a_stream_ended_from_outside_tells_its_client(
    place: str, request_: Any, how: str, status: str, code: str, http: int
) -> None:
    play = Play(request_)
    PLACES[place](play)
    play.do(how, at=16.0)
    head_sent = place in TOLD
    if head_sent:
        assert last_payload(play.body)["error"]["code"] == code
        assert play.told.endswith("data end")
    else:
        assert json.loads(play.whole.body)["error"]["code"] == code
        assert play.whole.status == http
    assert play.closes == 1
    row = play.row
    assert (row.status, row.error_code, row.success) == (status, code, False)
    assert row.http_status == (200 if head_sent else http)
    assert row.disposition is Disposition.CANCELLED


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("way", Breaking)
def test_a_fault_of_ours_ends_an_exchange_wherever_it_stands(place: str, way: Breaking) -> None:
    play = Play(ASKED)
    PLACES[place](play)
    told = len(play.told)
    play.do("broken", way=way)
    called = place not in ("started", "begun")
    assert play.row.status == (Status.SHUTDOWN if called else Status.REJECTED)
    assert (play.row.error_code, play.row.success) == ("overloaded", False)
    assert play.closes == 1
    assert (len(play.told) > told) is (way is Breaking.TOLD)
    assert len(play.of(CloseUpstream)) == len(play.of(OpenUpstream))
    assert all(row.outcome == play.row.status for row in play.of(Commit)[0].attempts)
    assert play.row.finished_at is not None
    assert play.do("broken", way=way) == []


def test_a_fault_behind_a_whole_answer_leaves_its_row_a_success() -> None:
    play = Play(ASKED)
    play.stream(text("a"), FINISH, DONE)  # its usage may still come
    play.do("broken", way=Breaking.BARE)
    assert (play.row.status, play.row.success, play.row.error_code) == ("completed", True, None)


def test_an_attempt_that_another_followed_stays_as_it_ended() -> None:
    play = Play(ASKED, others=[Attempt("next", "openai", "n")])
    play.answer(503, b"{}")
    play.do("broken", way=Breaking.BARE)
    first, second = play.of(Commit)[0].attempts
    assert (first.outcome, first.http_status) == ("upstream_error", 503)
    assert (second.outcome, second.finished_at) == (play.row.status, play.row.finished_at)


def test_a_row_that_could_not_be_filled_in_says_that_it_knows_nothing() -> None:
    play = Play(ASKED)
    play.connect()
    play.do("broken", way=Breaking.BARE)
    row = play.row
    assert (row.usage_source, row.input_source, row.tps_source) == ("none", "none", "none")
    assert row.input_tokens is row.output_tokens is row.cost_nano is None


@pytest.mark.parametrize("how", ["stop", "shutdown"])
def test_what_comes_from_outside_behind_the_marker_changes_nothing(how: str) -> None:
    play = Play(ASKED)
    play.stream(text("a"), FINISH, DONE)
    play.do(how)
    assert (play.row.status, play.row.delivered) == (Status.COMPLETED, Delivered.ALL)
    assert (play.told.count("end"), play.closes) == (1, 1)


def test_a_newer_stream_leaves_a_drain_and_late_usage_alone() -> None:
    left, served = Play(ASKED, attempt=DRAINS), Play(ASKED)
    left.stream(*STREAMING)
    left.do("client_gone")
    served.stream(text("a"), FINISH, DONE)
    for play in (left, served):
        before = len(play.log)
        assert play.do("supersede") == []
        play.data(USAGE)
        play.do("upstream_end", "complete")
        assert len(play.log) > before
        assert (play.row.output_tokens, play.row.usage_source) == (4, "provider")
    assert left.row.status is Status.CLIENT_DISCONNECTED
    assert served.row.status is Status.COMPLETED


def test_who_looks_at_it_before_its_end_takes_nothing_from_the_row() -> None:
    play = Play(ASKED)
    play.stream(text("a"), FINISH, DONE, USAGE)
    seen = play.look("so_far")
    play.do("upstream_end", "complete")
    assert (seen.output_tokens, seen.status) == (4, Status.IN_FLIGHT)
    assert (play.row.output_tokens, play.row.usage_source) == (4, "provider")


def test_who_looks_at_it_sees_how_far_its_answer_has_come() -> None:
    play = Play(ASKED)
    seen = []

    def look() -> None:
        it = play.exchange
        at = it.last_content_at
        seen.append((it.connecting, it.awaits_content, None if at is None else at - START))

    look()
    play.connect()
    look()
    play.do("attempt_head", 200, SSE, None)
    play.data(ROLE)
    look()
    play.do("upstream_data", text("a"), at=2.5)
    look()
    assert seen == [
        (True, True, None),
        (False, True, None),
        (False, True, None),
        (False, False, 2.5),
    ]


@pytest.mark.parametrize("metering", [True, False])
def test_an_attempt_delivers_from_its_first_content_on(metering: bool) -> None:
    play = Play(ASKED, metering=metering)
    play.head()
    assert not play.exchange.delivers
    play.data(ROLE)
    assert play.exchange.delivers is not metering, "unread, any byte is taken for it"
    play.data(text("a"))
    assert play.exchange.delivers


def test_an_unread_frame_that_is_cut_is_closed_before_the_error() -> None:
    play = Play(ASKED, metering=False)
    play.stream(text("a"), b'data: {"cho', end="cut")
    assert play.body.startswith(text("a") + b'data: {"cho\n\ndata: {"error"')
    assert play.row.status is Status.STREAM_INCOMPLETE


@pytest.mark.parametrize("how", ["stop", "shutdown"])
def test_what_comes_from_outside_ends_a_drain(how: str) -> None:
    play = Play(ASKED, attempt=DRAINS)
    play.stream(*STREAMING)
    play.do("client_gone")
    play.do(how)
    assert (play.row.status, play.closes) == (Status.CLIENT_DISCONNECTED, 1)


# --- back-pressure -------------------------------------------------------------------------------


def test_a_full_client_stops_its_own_upstream_until_there_is_room() -> None:
    play = Play(ASKED)
    play.stream(*STREAMING)
    assert play.do("client_blocked") == [PauseUpstream()]
    assert play.do("client_writable") == [ResumeUpstream()]
    assert play.do("client_writable") == []


def test_a_paused_upstream_is_read_again_for_a_drain() -> None:
    play = Play(ASKED, attempt=DRAINS)
    play.stream(*STREAMING)
    play.do("client_blocked")
    assert ResumeUpstream() in play.do("client_gone")
    assert play.do("client_blocked") == []


def test_paused_time_counts_for_no_deadline() -> None:
    play = Play(ASKED, attempt={"limits": Limits(first_token=300, idle=10)}, keepalive_seconds=0)
    play.stream(*STREAMING)
    play.do("client_blocked", at=5.0)
    assert play.do("tick", at=500.0) == []
    play.do("client_writable", at=500.0)
    assert play.do("tick", at=504.9) == []
    play.do("tick", at=505.1)
    assert play.row.status is Status.UPSTREAM_TIMEOUT


def test_what_arrives_while_paused_does_not_push_the_deadline_beyond_its_length() -> None:
    play = Play(ASKED, attempt={"limits": Limits(idle=10)}, keepalive_seconds=0)
    play.stream(*STREAMING)
    play.do("client_blocked", at=5.0)
    play.do("upstream_data", text("late"), at=90.0)
    play.do("client_writable", at=100.0)
    play.do("tick", at=110.1)
    assert play.row.status is Status.UPSTREAM_TIMEOUT


def test_a_keep_alive_is_not_sent_to_a_client_that_does_not_read() -> None:
    play = Play(ASKED)
    play.stream(*STREAMING)
    play.do("client_blocked")
    assert play.do("tick", at=40.0) == []


def test_leaving_closes_the_upstream_once() -> None:
    play = Play(ASKED)
    play.head(200, SSE)
    play.do("client_gone")
    for late in ("client_gone", "stop", "supersede", "shutdown", "tick", "client_writable"):
        assert play.do(late) == []
    assert len(play.of(CloseUpstream)) == 1
