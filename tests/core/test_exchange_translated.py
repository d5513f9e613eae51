"""One translated exchange, for each pair of client and upstream: what is told, and what the row says."""

from __future__ import annotations

import json
from typing import Any

import pytest

from streamgauge.core.deadlines import LATE_USAGE
from streamgauge.core.errors import RequestError
from streamgauge.core.record import Anomaly, Delivered, Status

from ..grammar_check import OURS, legal
from .playbook import DONE, FINISH, ROLE, USAGE, chat_request, request_of, text
from .translated_play import answering, frames_of, translated
from .upstream_wires import CLIENTS, PAIRS, UPSTREAMS, heard

MODES = ("off", "comment", "chunk", "event", "after_done")


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


def test_lines_may_come_cut_anywhere_and_with_blanks() -> None:
    wire = UPSTREAMS["ollama"]
    stream = b"\n".join((b"", *wire.stream()))
    play = answering("anthropic", "ollama", *(stream[n : n + 7] for n in range(0, len(stream), 7)))
    assert heard("anthropic", play.body).text == "ab"
    assert play.exchange.parsed_frames == 4


@pytest.mark.parametrize("end", ["complete", "cut"])
def test_the_last_line_of_a_body_that_is_whole_needs_no_line_end(end: str) -> None:
    *lines, last = UPSTREAMS["ollama"].stream()
    play = answering("anthropic", "ollama", *lines, last.rstrip(b"\n"))
    play.do("upstream_end", end)
    whole = end == "complete"
    assert play.row.status is (Status.COMPLETED if whole else Status.STREAM_INCOMPLETE)
    assert play.row.usage_source == ("provider" if whole else "counted")


def test_an_error_in_a_last_line_without_its_end_is_told_once() -> None:
    play = answering("anthropic", "ollama", b'{"error": "out of memory"}')
    play.do("upstream_end", "complete")
    assert play.row.status is Status.UPSTREAM_ERROR
    assert play.told == "answer"
    assert play.whole.status == 502


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
