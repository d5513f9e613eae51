"""Translated exchanges whose client leaves, is left alone, or is told of a refusal."""

from __future__ import annotations

import json
from typing import Any

import pytest

from streamgauge.core.actions import Commit, EndClient, RememberRefusal, WakeAt
from streamgauge.core.attempt import Drain
from streamgauge.core.record import Disposition, Status

from .playbook import DONE, FINISH, PRICE, ROLE, USAGE, chunk, request_of, text
from .translated_play import answering, frames_of, translated
from .upstream_wires import CLIENTS, PAIRS, UPSTREAMS, heard


@pytest.mark.parametrize(("client", "upstream"), PAIRS)
def test_a_client_that_leaves_is_drained_for_the_numbers(client: str, upstream: str) -> None:
    start, first, *rest = UPSTREAMS[upstream].stream()
    play = answering(client, upstream, start, first, attempt={"on_disconnect": "drain"})
    told = play.body
    play.do("client_gone", at=1.0)
    assert [type(a) for a in play.log[-1:]] == [WakeAt]
    play.data(*rest)
    play.do("upstream_end", "complete")
    row = play.row
    assert play.body == told
    assert not play.of(EndClient)
    assert (row.status, row.success) == (Status.CLIENT_DISCONNECTED, True)
    assert (row.input_tokens, row.output_tokens) == (9, 4)
    assert row.disposition is Disposition.DRAINED


@pytest.mark.parametrize(("client", "upstream"), PAIRS)
def test_a_client_that_leaves_is_cancelled_upstream(client: str, upstream: str) -> None:
    wire = UPSTREAMS[upstream]
    play = answering(
        client, upstream, wire.start, *wire.text[:2], attempt={"on_disconnect": "cancel"}
    )
    play.do("client_gone")
    row = play.row
    assert (play.closes, row.disposition) == (1, Disposition.CANCELLED)
    assert (row.status, row.success) == (Status.CLIENT_DISCONNECTED, False)


@pytest.mark.parametrize(
    ("said", "disposition"),
    [((ROLE, text("a")), None), ((), Disposition.CANCELLED)],
)
def test_auto_drains_a_priced_answer_of_which_something_was_told(
    said: tuple[bytes, ...], disposition: Disposition | None
) -> None:
    play = answering("anthropic", "openai", *said, attempt={"price": PRICE})
    play.do("client_gone")
    assert bool(play.of(Commit)) is (disposition is not None)
    if disposition is not None:
        assert play.row.disposition is disposition


def test_a_drain_is_capped_by_what_it_costs() -> None:
    attempt = {"on_disconnect": "drain", "drain": Drain(max_seconds=9, max_tokens=2)}
    play = answering("anthropic", "openai", ROLE, text("a"), attempt=attempt)
    play.do("client_gone")
    play.data(text("b"))
    assert not play.of(Commit)
    play.data(text("c"))
    assert play.row.disposition is Disposition.DRAIN_CAPPED


def test_a_client_that_leaves_before_the_head_is_told_nothing_of_what_comes() -> None:
    play = translated("anthropic", "openai", attempt={"on_disconnect": "drain"})
    play.connect()
    play.do("client_gone")
    play.do("attempt_head", 200, "text/event-stream", None)
    play.data(ROLE, text("a"), chunk(error="no"), FINISH, USAGE, DONE)
    play.do("upstream_end", "complete")
    assert (play.told, play.row.output_tokens) == ("", 4)


ALIVE = {
    "openai": (b": keep-alive\n",) * 2,
    "anthropic": (b'event: ping\ndata: {"type":"ping"}\n\n',) * 2,
    "simple": (
        b'{"type":"status","status":"waiting"}\n',
        b'{"type":"status","status":"writing"}\n',
    ),
    "frames": (b": keep-alive\n",) * 2,
}


@pytest.mark.parametrize(("client", "upstream"), PAIRS)
def test_a_silence_is_filled_with_the_clients_own_sign_of_life(client: str, upstream: str) -> None:
    before, within = ALIVE[client]
    wire = UPSTREAMS[upstream]
    play = translated(client, upstream)
    play.connect()
    play.do("tick", at=15.0)
    assert play.body == before
    play.do("attempt_head", 200, wire.media, None)
    play.data(wire.alive, wire.start, *wire.text[:2], wire.alive)
    told = play.body
    play.do("tick", at=29.9)
    play.do("tick", at=30.0)
    assert play.body == told + within
    play.data(*[frame for frame in wire.stream()[3:] if frame])
    play.do("upstream_end", "complete")
    row = play.row
    assert heard(client, play.body).ended
    ours = 2 if client == "simple" else 0  # a status line of ours looks like any other line
    assert row.frames_out == frames_of(client, play.body) - ours
    assert row.status is Status.COMPLETED


def test_an_error_behind_a_keep_alive_alone_is_told_as_a_frame() -> None:
    for client in CLIENTS:
        play = translated(client, "ollama")
        play.connect()
        play.do("tick", at=15.0)
        play.do("attempt_failed", "reset")
        assert "reset the connection" in (heard(client, play.body).error or "")
        assert play.told == "head data data end"


def test_a_paused_client_holds_its_upstream_and_no_wait_for_a_marker_runs() -> None:
    play = answering("anthropic", "openai", ROLE, text("a"), FINISH)
    play.do("client_blocked", at=1.0)
    play.do("tick", at=60.0)
    assert not play.of(Commit)
    play.do("client_writable", at=61.0)
    play.data(USAGE, DONE)
    play.do("upstream_end", "complete")
    assert (play.row.status, play.row.anomalies) == (Status.COMPLETED, [])


# --- refusals ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (400, b'{"error":{"message":"no","type":"invalid_request_error"}}', "no"),
        (429, b'{"type":"error","error":{"type":"rate_limit_error","message":"slow"}}', "slow"),
        (404, b'{"error":"model not found"}', "model not found"),
        (503, b"<html>", "the upstream answered with status 503 and no JSON (application/json)"),
    ],
)
@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(("client", "upstream"), PAIRS)
def test_an_error_status_is_told_in_the_clients_dialect(
    client: Any, upstream: str, stream: bool, status: int, body: bytes, message: str
) -> None:
    play = translated(client, upstream, request=request_of(client, stream=stream))
    play.answer(status, body, wait="7")
    told = json.loads(play.whole.body)
    assert told["error"]["message"] == message
    assert (told.get("type") == "error") is (client == "anthropic")
    assert play.whole.status == (status if status != 503 else 502)
    assert play.whole.retry_after == "7"
    row = play.row
    assert (row.status, row.http_status) == (Status.UPSTREAM_ERROR, play.whole.status)


@pytest.mark.parametrize("client", CLIENTS)
def test_a_refused_usage_option_is_left_out_the_second_time(client: str) -> None:
    play = translated(client, "openai")
    play.answer(400, b'{"error":{"message":"unknown field stream_options"}}')
    assert [action.upstream for action in play.of(RememberRefusal)] == ["up"]
    play.do("begun")
    play.do("connected")
    first, second = map(json.loads, play.requests)
    assert first.pop("stream_options") == {"include_usage": True}
    assert first == second
    play.do("attempt_head", 200, UPSTREAMS["openai"].media, None)
    play.data(ROLE, text("a"), FINISH, DONE)
    play.do("upstream_end", "complete")
    assert heard(client, play.body).text == "a"
    row = play.row
    assert (row.status, row.attempts, row.usage_source) == (Status.COMPLETED, 2, "counted")


@pytest.mark.parametrize("upstream", ["anthropic", "ollama"])
def test_an_upstream_that_was_not_asked_is_not_asked_again(upstream: str) -> None:
    play = translated("openai", upstream)
    play.answer(400, b'{"error":{"message":"unknown field stream_options"}}')
    assert (play.opens, play.whole.status) == (1, 400)


def test_what_a_stream_was_asked_for_must_come_in_its_media_type() -> None:
    for upstream, media in (("ollama", "text/event-stream"), ("openai", "application/x-ndjson")):
        play = translated("openai", upstream)
        play.head(content_type=media)
        assert play.row.status is Status.UPSTREAM_PROTOCOL_ERROR
