"""An answer that is no stream, to each client from each upstream: read, translated, or made a stream."""

from __future__ import annotations

import json
from typing import Any

import pytest

from streamgauge.core.actions import EndClient, SendHead
from streamgauge.core.attempt import Attempt
from streamgauge.core.dialects.codecs import UPSTREAMS as CODECS
from streamgauge.core.events import Ended
from streamgauge.core.meter import Meter
from streamgauge.core.record import Delivered, Status
from streamgauge.core.verdict import Verdict
from streamgauge.core.whole import read_whole, whole_body, whole_stream

from ..grammar_check import OURS, legal
from .playbook import Play, chat_request, request_of
from .upstream_wires import PAIRS, UPSTREAMS, heard

NOT_CHAT = "the upstream's answer is not a chat answer"
CALL: dict[str, Any] = {
    "openai": {
        "message": {
            "content": None,
            "tool_calls": [
                {
                    "id": "c1",
                    "type": "function",
                    "function": {"name": "f", "arguments": '{"x": 1}'},
                }
            ],
        },
        "finish_reason": "tool_calls",
    },
    "anthropic": [{"type": "tool_use", "id": "c1", "name": "f", "input": {"x": 1}}],
    "ollama": {"tool_calls": [{"id": "c1", "function": {"name": "f", "arguments": {"x": 1}}}]},
}


def call_of(upstream: str) -> dict[str, Any]:
    """Return a whole answer that calls f({"x": 1})."""
    whole = UPSTREAMS[upstream].whole
    if upstream == "openai":
        return {**whole, "choices": [{"index": 0, **CALL["openai"]}]}
    if upstream == "anthropic":
        return {**whole, "content": CALL["anthropic"], "stop_reason": "tool_use"}
    return {**whole, "message": {"role": "assistant", "content": "", **CALL["ollama"]}}


def play_of(client: Any, upstream: Any, *, stream: bool, **facts: Any) -> Play:
    """Return an exchange that is translated between the two."""
    return Play(request_of(client, stream=stream), attempt={"dialect": upstream}, **facts)


def said(client: str, body: bytes) -> tuple[str | None, Any, str]:
    """Return text, calls as names and arguments, and the finish of a whole answer."""
    answer = json.loads(body)
    if client == "anthropic":
        blocks = answer["content"]
        words = "".join(b["text"] for b in blocks if b["type"] == "text") or None
        calls = [(b["name"], b["input"]) for b in blocks if b["type"] == "tool_use"]
        return words, calls, answer["stop_reason"]
    (choice,) = answer["choices"]
    message = choice["message"]
    functions = [call["function"] for call in message.get("tool_calls", [])]
    calls = [(f["name"], json.loads(f["arguments"])) for f in functions]
    return message["content"], calls, choice["finish_reason"]


FINISHES = {"anthropic": ("end_turn", "tool_use")}


@pytest.mark.parametrize(("client", "upstream"), PAIRS)
def test_a_whole_answer_is_translated_whole(client: str, upstream: str) -> None:
    stop, tools = FINISHES.get(client, ("stop", "tool_calls"))
    for answer, expected in (
        (UPSTREAMS[upstream].whole, ("ab", [], stop)),
        (call_of(upstream), (None, [("f", {"x": 1})], tools)),
    ):
        play = play_of(client, upstream, stream=False)
        play.answer(200, json.dumps(answer).encode())
        assert play.whole.status == 200
        assert said(client, play.whole.body) == expected
        row = play.row
        assert (row.status, row.delivered, row.streaming) == (
            Status.COMPLETED,
            Delivered.ALL,
            False,
        )
        assert (row.input_tokens, row.output_tokens, row.usage_source) == (9, 4, "provider")
        assert (row.bytes_out, row.http_status) == (len(play.whole.body), 200)
        usage = json.loads(play.whole.body)["usage"]
        assert usage.get("prompt_tokens", usage.get("input_tokens")) == 9
        assert json.loads(play.requests[0]).get("stream", False) is False


@pytest.mark.parametrize("metadata", ["off", "comment"])
@pytest.mark.parametrize(("client", "upstream"), PAIRS)
def test_a_whole_answer_to_a_stream_request_is_told_as_a_stream(
    client: str, upstream: str, metadata: str
) -> None:
    for answer, words, calls in (
        (UPSTREAMS[upstream].whole, "ab", []),
        (call_of(upstream), "", [("f", {"x": 1})]),
    ):
        play = play_of(client, upstream, stream=True, metadata=metadata)
        play.answer(200, json.dumps(answer).encode())
        legal(client, play.body, OURS)
        told = heard(client, play.body)
        assert (told.text, told.calls, told.usage, told.ended) == (words, calls, (9, 4), True)
        assert (b"streamgauge" in play.body) is (metadata == "comment")
        assert (play.row.status, play.row.usage_source) == (Status.COMPLETED, "provider")


@pytest.mark.parametrize("upstream", UPSTREAMS)
@pytest.mark.parametrize("client", ["openai", "simple"])
def test_a_whole_answer_on_several_lines_is_told_as_a_stream(client: str, upstream: str) -> None:
    play = play_of(client, upstream, stream=True)
    play.answer(200, json.dumps(UPSTREAMS[upstream].whole, indent=1).replace("\n", "\r\n").encode())
    assert heard(client, play.body).text == "ab"
    assert heard(client, play.body).ended
    assert (play.row.status, play.row.anomalies) == (Status.COMPLETED, [])


@pytest.mark.parametrize("done", [{}, {"done": False}, {"done": None}])
def test_ollamas_whole_answer_needs_no_word_that_it_is_done(done: dict[str, Any]) -> None:
    whole = {key: value for key, value in UPSTREAMS["ollama"].whole.items() if key != "done"}
    play = play_of("openai", "ollama", stream=True)
    play.answer(200, json.dumps({**whole, **done}).encode())
    told = heard("openai", play.body)
    assert (told.text, told.finish, told.usage, told.ended) == ("ab", "stop", (9, 4), True)


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(("client", "upstream"), PAIRS)
def test_an_answer_that_says_nothing_is_an_error_and_no_empty_message(
    client: str, upstream: str, stream: bool
) -> None:
    for body in (b"{}", b'{"x":1}', b'{"choices":[]}', b'{"content":[]}', b'{"message":{}}'):
        play = play_of(client, upstream, stream=stream)
        play.answer(200, body)
        row = play.row
        assert row.status in (Status.UPSTREAM_ERROR, Status.UPSTREAM_PROTOCOL_ERROR)
        assert row.error_message in (NOT_CHAT, "the upstream's answer was empty")
        assert row.success is False
        if play.of(SendHead):
            assert heard(client, play.body).error == row.error_message
            assert play.of(EndClient)
        else:
            assert play.whole.status == 502
            assert json.loads(play.whole.body)["error"]["message"] == row.error_message


@pytest.mark.parametrize("usage", [{}, {"usage": None}])
@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("client", ["anthropic", "openai"])
def test_a_message_that_states_no_usage_has_none_in_its_row(
    client: str, stream: bool, usage: dict[str, Any]
) -> None:
    whole = {**UPSTREAMS["anthropic"].whole, **usage}
    if not usage:
        del whole["usage"]
    if client == "anthropic":
        play = Play(request_of("anthropic", stream=stream))
    else:
        play = play_of(client, "anthropic", stream=stream)
    play.answer(200, json.dumps(whole).encode())
    row = play.row
    assert (row.input_tokens, row.input_source) == (None, "none")
    assert (row.output_tokens, row.usage_source) == ((1, "counted") if stream else (None, "none"))
    if stream:
        legal(client, play.body, OURS)


@pytest.mark.parametrize("stream", [True, False])
def test_a_call_without_arguments_or_a_finish_is_an_answer(stream: bool) -> None:
    call = {"id": "c", "type": "function", "function": {"name": "ls", "arguments": ""}}
    play = play_of("anthropic", "openai", stream=stream)
    play.answer(200, json.dumps({"choices": [{"message": {"tool_calls": [call]}}]}).encode())
    assert (play.row.status, play.row.success) == (Status.COMPLETED, True)
    assert b'"stop_reason":"tool_use"' in (play.body or play.whole.body)


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(("client", "upstream"), PAIRS)
def test_an_error_object_in_a_whole_answer_is_the_clients_error(
    client: str, upstream: str, stream: bool
) -> None:
    play = play_of(client, upstream, stream=stream)
    play.answer(200, b'{"error":"broke"}')
    assert (play.row.status, play.row.error_message) == (Status.UPSTREAM_ERROR, "broke")
    assert json.loads(play.whole.body)["error"]["message"] == "broke"
    assert (b'"type":"error"' in play.whole.body) is (client == "anthropic")


@pytest.mark.parametrize("body", [b"[]", b"nope", b"", b'"x"'])
@pytest.mark.parametrize(("client", "upstream"), PAIRS)
def test_what_is_no_object_is_a_protocol_error(client: str, upstream: str, body: bytes) -> None:
    play = play_of(client, upstream, stream=True)
    play.answer(200, body)
    assert play.whole.status == 502
    assert play.row.error_message == "the upstream's answer is not valid JSON"


def test_a_whole_answer_with_several_choices_is_told_with_all_of_them() -> None:
    choices = [
        {"index": n, "message": {"content": words}, "finish_reason": "stop"}
        for n, words in enumerate(("a", "b"))
    ]
    body = json.dumps({**UPSTREAMS["openai"].whole, "choices": choices}).encode()
    play = Play(
        request_of("openai", stream=False, n=2), attempt={"dialect": "openai"}, kind="llamacpp"
    )
    play.answer(200, body)
    told = json.loads(play.whole.body)["choices"]
    assert [choice["message"]["content"] for choice in told] == ["a", "b"]
    first = Play(request_of("anthropic", stream=False), attempt={"dialect": "openai"})
    first.answer(200, body)
    assert said("anthropic", first.whole.body)[0] == "a"


def test_an_untranslated_answer_is_read_and_passes_as_it_came() -> None:
    play = Play(chat_request(stream=False))
    (attempt,) = play.facts.attempts
    body = json.dumps(UPSTREAMS["openai"].whole).encode()
    events = read_whole(play.facts, attempt, body)
    assert events is not None
    assert isinstance(events[-1], Ended)
    assert whole_body(play.facts, attempt, body, events, Meter(0.0), {}) is body
    stream = whole_stream(play.facts, attempt, body, events)
    assert isinstance(stream, bytes)
    assert heard("openai", stream).text == "ab"
    assert read_whole(play.facts, attempt, b"[]") is None
    nothing = whole_stream(play.facts, attempt, b"{}", ())
    assert isinstance(nothing, Verdict)
    assert nothing.status is Status.UPSTREAM_PROTOCOL_ERROR


def test_a_translated_answer_has_the_clients_name_of_the_model_else_the_upstreams() -> None:
    for members, name in (({}, "asked"), ({"model": None}, "m")):
        play = Play(request_of("openai", stream=False, **members), attempt={"dialect": "anthropic"})
        play.answer(200, json.dumps(UPSTREAMS["anthropic"].whole).encode())
        told = json.loads(play.whole.body)
        assert (told["model"], told["created"]) == (name, 1_700_000_000)
        assert play.facts.id in told["id"]
    nameless = Attempt("up", "openai", None)
    play = Play(request_of("openai", model=None))
    assert play.facts.telling(nameless).model == ""
    assert play.facts.telling(nameless).include_usage


def test_a_client_that_left_gets_no_whole_answer_and_the_row_has_its_counts() -> None:
    play = Play(
        request_of("anthropic", stream=False),
        attempt={"dialect": "openai", "on_disconnect": "drain"},
    )
    play.head(200, "application/json")
    play.do("client_gone")
    play.data(json.dumps(UPSTREAMS["openai"].whole).encode())
    play.do("upstream_end", "complete")
    assert play.told == ""
    row = play.row
    assert (row.status, row.output_tokens, row.success) == (Status.CLIENT_DISCONNECTED, 4, True)


@pytest.mark.parametrize(
    ("body", "stream"),
    [
        (b"[]", None),
        (b"nope", None),
        (b'{"done":false}', None),
        (b'{"message":"a"}', None),
        (b'{"done":true}', b'{"done":true}\n'),
        (b'\r\n{"done":\n\rtrue, "eval_count":1.50}\n\n', b'{"done":  true, "eval_count":1.50}\n'),
        (b'{"error":\n"no"}', b'{"error": "no"}\n'),
        (b'{"message":{},\n"eval_count":2}', b'{"message":{},"eval_count":2,"done":true}\n'),
    ],
)
def test_ollamas_answer_is_one_line_that_is_done(body: bytes, stream: bytes | None) -> None:
    assert CODECS["ollama"].stream_of(body) == stream
