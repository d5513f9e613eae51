"""One translated exchange, for each pair of client and upstream: what is told, and what the row says."""

from __future__ import annotations

import json
from typing import Any

import pytest

from streamgauge.core.actions import Commit, EndClient, RememberRefusal, WakeAt
from streamgauge.core.attempt import Drain, Limits
from streamgauge.core.deadlines import LATE_USAGE, MARKER_WAIT
from streamgauge.core.errors import RequestError
from streamgauge.core.passage import COMMENT_LIMIT
from streamgauge.core.record import Anomaly, Delivered, Disposition, Status

from ..grammar_check import OURS, legal
from .playbook import (
    DONE,
    FINISH,
    PRICE,
    ROLE,
    USAGE,
    Play,
    chat_request,
    chunk,
    request_of,
    text,
)
from .upstream_wires import CLIENTS, PAIRS, UPSTREAMS, heard

CUT = "the upstream ended the stream before it was finished"
EMPTY = "the upstream's answer was empty"
FINISHED = ("openai", "anthropic")  # Ollama's finish, usage and end marker are one line
MODES = ("off", "comment", "chunk", "event", "after_done")
NO_MARKER = [Anomaly.FINISHED_WITHOUT_MARKER.value]


def translated(client: Any, upstream: Any, *, attempt: Any = None, **facts: Any) -> Play:
    """Return an exchange that is translated between the two; `request` where it is a special one."""
    request = facts.pop("request", None) or request_of(client)
    return Play(request, attempt={"dialect": upstream, **(attempt or {})}, **facts)


def answering(client: Any, upstream: Any, *frames: bytes, **more: Any) -> Play:
    """Return such an exchange whose upstream has said `frames` so far."""
    play = translated(client, upstream, **more)
    play.head(content_type=UPSTREAMS[upstream].media)
    play.data(*frames)
    return play


def frames_of(client: str, body: bytes) -> int:
    """Return the frames with data in `body`, but for signs of life."""
    lines = body.split(b"\n")
    if client == "simple":
        return len([each for each in lines if each])
    pings = body.count(b"event: ping\n")
    return len([each for each in lines if each.startswith(b"data:")]) - pings


def choice_piece(choice: int, said: str) -> bytes:
    """Return a chunk with a piece of one choice's text."""
    return chunk(choices=[{"index": choice, "delta": {"content": said}}])


def choice_end(choice: int) -> bytes:
    """Return a chunk with one choice's finish."""
    return chunk(choices=[{"index": choice, "delta": {}, "finish_reason": "stop"}])


# --- answers -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["text", "thought", "call"])
@pytest.mark.parametrize(("client", "upstream"), PAIRS)
def test_a_stream_is_told_in_the_clients_dialect(client: str, upstream: str, kind: str) -> None:
    play = answering(client, upstream, *UPSTREAMS[upstream].stream(kind))
    legal(client, play.body, OURS)
    told = heard(client, play.body)
    assert told.text == ("ab" if kind == "text" else "")
    assert told.thought == ("hm" if kind == "thought" else "")
    assert told.calls == ([("f", {"x": 1})] if kind == "call" else [])
    assert (told.usage, told.error, told.ended) == ((9, 4), None, True)
    assert play.told.endswith("data end")
    play.do("upstream_end", "complete")
    row = play.row
    assert (row.status, row.success, row.delivered) == (Status.COMPLETED, True, Delivered.ALL)
    assert (row.input_tokens, row.output_tokens, row.usage_source) == (9, 4, "provider")
    assert (row.frames_out, row.bytes_out) == (frames_of(client, play.body), len(play.body))
    assert (row.dialect, play.log[-1].attempts[0].dialect) == (client, upstream)
    assert (row.requested_model, row.upstream_model, row.anomalies) == ("asked", "m", [])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("client", "upstream"), PAIRS)
def test_metadata_tells_the_row_and_is_counted_as_what_it_is(
    client: str, upstream: str, mode: str
) -> None:
    play = answering(client, upstream, *UPSTREAMS[upstream].stream(), metadata=mode)
    play.do("upstream_end", "complete", at=1.0)
    row = play.row
    assert row.frames_out == frames_of(client, play.body)
    assert heard(client, play.body).text == "ab"
    found = [each for each in play.body.split(b"\n") if b'"request_id"' in each]
    if mode == "off":
        legal(client, play.body, OURS)
        assert found == []
        return
    (told,) = found
    # An event of our own name, and what stands behind the marker, is in no client's grammar.
    ours = b"event: streamgauge\n" + told + b"\n\n"
    if client == "simple" and mode == "after_done":
        ours = told + b"\n"
    legal(client, play.body.replace(ours, b""), OURS)
    payload = json.loads(told[told.index(b"{") :])
    payload = payload.get("streamgauge", payload)
    assert payload.pop("request_id") == row.id
    assert payload == {name: getattr(row, name) for name in payload}
    last = play.body.rstrip(b"\n").rsplit(b"\n", 1)[-1]
    assert (told == last) is (mode == "after_done")


@pytest.mark.parametrize("client", CLIENTS)
def test_usage_between_the_finish_and_the_marker_is_told(client: str) -> None:
    play = answering(client, "openai", ROLE, text("a"), FINISH)
    assert not heard(client, play.body).ended
    play.do("upstream_data", USAGE, at=1.9)
    play.do("upstream_data", DONE, at=2.0)
    assert heard(client, play.body).usage == (9, 4)
    play.do("upstream_end", "complete")
    assert play.row.anomalies == []


@pytest.mark.parametrize("client", CLIENTS)
def test_usage_behind_the_marker_is_booked_and_no_longer_told(client: str) -> None:
    play = answering(client, "openai", ROLE, text("a"), FINISH, DONE)
    told = play.body
    assert play.wakes == [LATE_USAGE]
    play.do("upstream_data", USAGE, at=0.5)
    assert play.body == told
    play.do("tick", at=LATE_USAGE)
    row = play.row
    assert (row.input_tokens, row.output_tokens) == (9, 4)
    assert row.anomalies == [Anomaly.USAGE_AFTER_MARKER]
    assert (row.status, play.closes) == (Status.COMPLETED, 1)


# --- ends ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("begun", [True, False])
@pytest.mark.parametrize(("client", "upstream"), PAIRS)
def test_an_error_in_the_stream_is_the_last_thing_told(
    client: str, upstream: str, begun: bool
) -> None:
    wire = UPSTREAMS[upstream]
    said = (wire.start, *wire.text[:2]) if begun else ()
    play = answering(client, upstream, *said, wire.error, *wire.text, *wire.end.values())
    play.do("upstream_end", "complete")
    row = play.row
    assert (row.status, row.error_message) == (Status.UPSTREAM_ERROR, "broke")
    if begun:
        assert heard(client, play.body).error == "broke"
        assert not heard(client, play.body).ended
        assert play.told.endswith("data end")
        assert row.frames_out == frames_of(client, play.body)
        return
    assert play.whole.status == {"openai": 503, "anthropic": 500, "ollama": 502}[upstream]
    assert json.loads(play.whole.body)["error"]["message"] == "broke"
    assert ("request_id" in json.loads(play.whole.body)) is (client == "anthropic")


@pytest.mark.parametrize("end", ["cut", "complete", "reset"])
@pytest.mark.parametrize(("client", "upstream"), PAIRS)
def test_a_cut_stream_ends_with_an_error_and_no_end_marker(
    client: str, upstream: str, end: str
) -> None:
    wire = UPSTREAMS[upstream]
    play = answering(client, upstream, wire.start, *wire.text[:2])
    play.do("upstream_end", end)
    told, row = heard(client, play.body), play.row
    assert (told.error, told.ended) == (CUT, False)
    assert (row.status, row.error_message) == (Status.STREAM_INCOMPLETE, CUT)
    assert (row.delivered, row.frames_out) == (Delivered.PART, frames_of(client, play.body))


@pytest.mark.parametrize("end", ["cut", "complete", "reset"])
@pytest.mark.parametrize("upstream", FINISHED)
@pytest.mark.parametrize("client", CLIENTS)
def test_a_cut_behind_the_finish_closes_the_grammar_and_the_row_says_so(
    client: str, upstream: str, end: str
) -> None:
    wire = UPSTREAMS[upstream]
    play = answering(client, upstream, wire.start, *wire.text, wire.finish["stop"])
    play.do("upstream_end", end)
    legal(client, play.body, OURS)
    told, row = heard(client, play.body), play.row
    assert (told.text, told.error, told.ended) == ("ab", None, True)
    assert (row.status, row.success, row.anomalies) == (Status.STREAM_INCOMPLETE, False, NO_MARKER)
    assert (row.error_code, row.frames_out) == (None, frames_of(client, play.body))


@pytest.mark.parametrize("upstream", FINISHED)
@pytest.mark.parametrize("client", CLIENTS)
def test_a_missing_marker_is_awaited_for_two_seconds(client: str, upstream: str) -> None:
    wire = UPSTREAMS[upstream]
    play = answering(client, upstream, wire.start, *wire.text)
    play.do("upstream_data", wire.finish["stop"], at=5.0)
    play.do("tick", at=5.0 + MARKER_WAIT)
    assert not heard(client, play.body).ended
    play.do("tick", at=5.1 + MARKER_WAIT)
    legal(client, play.body, OURS)
    assert heard(client, play.body).ended
    row = play.row
    assert (row.status, row.anomalies) == (Status.STREAM_INCOMPLETE, NO_MARKER)
    assert (play.closes, row.disposition) == (1, Disposition.CANCELLED)


def test_neither_usage_nor_keep_alives_make_the_wait_for_the_marker_longer() -> None:
    play = answering("anthropic", "openai", ROLE, text("a"), FINISH)
    play.do("upstream_data", USAGE, at=1.5)
    play.do("upstream_data", b": ping\n\n", at=1.9)
    play.do("tick", at=2.1)
    assert heard("anthropic", play.body).usage == (9, 4)
    assert play.row.anomalies == NO_MARKER


@pytest.mark.parametrize("wire", ["openai", "anthropic", "ollama"])
@pytest.mark.parametrize("client", CLIENTS)
def test_an_empty_answer_with_a_marker_ends_in_an_error(client: str, wire: str) -> None:
    play = answering(client, wire, UPSTREAMS[wire].start, UPSTREAMS[wire].bare_end)
    play.do("upstream_end", "complete")
    row = play.row
    assert (row.status, row.success, row.error_message) == (Status.UPSTREAM_ERROR, False, EMPTY)
    if play.body:
        assert (heard(client, play.body).error, play.told) == (EMPTY, "head data data end")
    else:
        assert play.whole.status == 502


def test_a_mark_behind_content_without_a_finish_completes() -> None:
    play = answering("anthropic", "openai", ROLE, text("a"), DONE)
    play.do("upstream_end", "complete")
    assert heard("anthropic", play.body).finish == "end_turn"
    assert (play.row.status, play.row.finish_reason) == (Status.COMPLETED, None)


@pytest.mark.parametrize("client", CLIENTS)
def test_a_frame_beyond_the_cap_ends_the_stream_with_an_error(client: str) -> None:
    play = answering(client, "openai", ROLE, text("a"))
    play.data(b"data: " + b"x" * (32 * 1024 * 1024 + 1))
    assert (heard(client, play.body).error or "").endswith("larger than 32 MiB")
    assert play.row.status is Status.UPSTREAM_PROTOCOL_ERROR
    assert Anomaly.OVERSIZE_FRAME in play.row.anomalies


def test_nothing_but_comments_is_a_protocol_error() -> None:
    play = answering("anthropic", "openai")
    megabyte = b":" + b"x" * (1024 * 1024 - 3) + b"\n\n"
    play.data(*[megabyte] * (COMMENT_LIMIT // len(megabyte) + 1))
    assert "nothing but comments" in json.loads(play.whole.body)["error"]["message"]


@pytest.mark.parametrize("client", CLIENTS)
def test_a_deadline_that_passes_in_the_stream_is_told(client: str) -> None:
    limits = Limits(first_token=9, idle=3, total=0)
    play = answering(client, "openai", ROLE, text("a"), attempt={"limits": limits})
    play.do("tick", at=3.5)
    assert "next token" in (heard(client, play.body).error or "")
    assert play.row.status is Status.UPSTREAM_TIMEOUT


def test_without_metering_a_translation_is_read_all_the_same() -> None:
    for client in CLIENTS:
        play = answering(client, "openai", ROLE, text("a"), FINISH, USAGE, DONE, metering=False)
        play.do("upstream_end", "complete")
        assert (heard(client, play.body).text, heard(client, play.body).usage) == ("a", (9, 4))
        row = play.row
        assert (row.status, row.frames_in, row.stalls) == (Status.COMPLETED, 5, 0)
        assert row.frames_out == frames_of(client, play.body)
        assert b"include_usage" in play.requests[0]
    empty = answering("openai", "openai", ROLE, FINISH, DONE, metering=False)
    empty.do("upstream_end", "complete")
    assert empty.row.anomalies == [Anomaly.EMPTY_ANSWER]


# --- several choices -----------------------------------------------------------------------------


@pytest.mark.parametrize("client", CLIENTS)
def test_a_choice_that_still_speaks_is_waited_for(client: str) -> None:
    play = answering(client, "openai", ROLE, choice_piece(0, "a"), choice_end(0))
    for second in range(1, 9):
        play.do("upstream_data", choice_piece(1, "b"), at=float(second))
        play.do("tick")
        play.do("tick", at=second + 0.9)
    play.data(choice_end(1), USAGE, DONE)
    play.do("upstream_end", "complete")
    assert heard(client, play.body).usage == (9, 4)
    assert (play.row.status, play.row.anomalies) == (Status.COMPLETED, [])
    assert play.body.count(b'"b"') == (8 if client == "openai" else 0)


@pytest.mark.parametrize(
    ("client", "first", "told_as_cut"),
    [
        *((client, 1, True) for client in CLIENTS),
        ("openai", 0, True),
        # These tell of the first choice alone, and that one has finished.
        *((client, 0, False) for client in CLIENTS if client != "openai"),
    ],
)
def test_a_choice_that_was_cut_is_not_told_as_whole(
    client: str, first: int, told_as_cut: bool
) -> None:
    play = answering(client, "openai", ROLE, choice_piece(0, "a"), choice_piece(1, "b"))
    play.data(choice_end(first))
    play.do("upstream_end", "cut")
    told, row = heard(client, play.body), play.row
    assert (told.error, told.ended) == ((CUT, False) if told_as_cut else (None, True))
    assert row.status is Status.STREAM_INCOMPLETE
    assert row.anomalies == ([] if told_as_cut else NO_MARKER)


def test_an_openai_client_gets_every_choice_and_others_the_first() -> None:
    frames = (ROLE, choice_piece(0, "a"), choice_piece(1, "b"), choice_end(0), choice_end(1), DONE)
    every = answering("openai", "openai", *frames, request=request_of("openai", n=2))
    assert json.loads(every.requests[0])["n"] == 2
    legal("openai", every.body, OURS)
    assert (every.body.count(b'"content":"b"'), every.body.count(b'"finish_reason":"stop"')) == (
        1,
        2,
    )
    for client in ("anthropic", "simple", "frames"):
        first = answering(client, "openai", *frames)
        assert heard(client, first.body).text == "a"


# --- the client leaves, or is left alone ---------------------------------------------------------


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
    attempt = {"on_disconnect": "drain", "drain": Drain(max_seconds=9, max_tokens=3)}
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
        b'{"type":"status","status":"thinking"}\n',
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


# --- requests ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("client", "upstream", "more", "lost"),
    [
        ("openai", "openai", {}, ()),
        ("openai", "anthropic", {"seed": 1}, ("seed",)),
        ("openai", "anthropic", {"seed": 1, "logit_bias": {"1": 2}}, ("logit_bias", "seed")),
        ("anthropic", "openai", {"top_k": 3, "speed": "fast"}, ("speed", "top_k")),
        ("simple", "ollama", {"logprobs": True}, ("logprobs",)),
    ],
)
def test_what_a_request_loses_is_known_once_it_was_sent(
    client: Any, upstream: str, more: dict[str, Any], lost: tuple[str, ...]
) -> None:
    play = translated(client, upstream, request=request_of(client, **more))
    assert play.exchange.lost == ()
    play.connect()
    assert play.exchange.lost == lost


@pytest.mark.parametrize(("client", "upstream"), PAIRS)
def test_a_request_goes_upstream_with_its_model_and_its_words(client: str, upstream: str) -> None:
    play = translated(client, upstream)
    play.connect()
    body = json.loads(play.requests[0])
    assert (body["model"], body["stream"]) == ("m", True)
    assert "hi" in json.dumps(body["messages"])
    assert ("stream_options" in body) is (upstream == "openai")


def test_a_translation_without_its_conversation_is_a_fault_of_ours() -> None:
    with pytest.raises(ValueError, match="needs the conversation"):
        translated("openai", "anthropic", conversation=None)


def test_what_the_upstream_cannot_be_told_is_refused_before_anything_begins() -> None:
    """Later, behind the commit, nobody would answer the client."""
    with pytest.raises(RequestError, match="n must be 1") as told:
        translated("openai", "anthropic", request=request_of("openai", n=2))
    assert (told.value.status, told.value.param) == (400, "n")


def test_a_prompt_of_our_own_is_no_request_that_an_upstream_can_read() -> None:
    assert request_of("openai").as_is
    assert chat_request("completions", prompt="x").as_is
    raw = request_of("simple", prompt="x")
    assert raw.as_is, "there are messages beside it"
    fields = {key: value for key, value in raw.fields.items() if key != "messages"}
    play = translated("simple", "openai", request=_with_fields(raw, fields))
    assert not play.facts.request.as_is
    play.connect()
    assert json.loads(play.requests[0])["messages"] == [{"role": "user", "content": "x"}]


def _with_fields(request: Any, fields: dict[str, Any]) -> Any:
    return type(request)(
        dialect=request.dialect,
        endpoint=request.endpoint,
        model=request.model,
        stream=True,
        raw=json.dumps(fields).encode(),
        fields=fields,
    )


def test_a_paused_client_holds_its_upstream_and_no_wait_for_a_marker_runs() -> None:
    play = answering("anthropic", "openai", ROLE, text("a"), FINISH)
    play.do("client_blocked", at=1.0)
    play.do("tick", at=60.0)
    assert not play.of(Commit)
    play.do("client_writable", at=61.0)
    play.data(USAGE, DONE)
    play.do("upstream_end", "complete")
    assert (play.row.status, play.row.anomalies) == (Status.COMPLETED, [])


def test_lines_may_come_cut_anywhere_and_with_blanks() -> None:
    wire = UPSTREAMS["ollama"]
    stream = b"\n".join((b"", *wire.stream()))
    play = answering("anthropic", "ollama", *(stream[n : n + 7] for n in range(0, len(stream), 7)))
    assert heard("anthropic", play.body).text == "ab"
    assert play.exchange.parsed_frames == 4
