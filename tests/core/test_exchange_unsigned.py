"""Reasoning that another upstream's model left in the history, and Anthropic refuses: asked once more."""

from __future__ import annotations

import json
from typing import Any

import pytest

from streamgauge.core.actions import Commit, RememberRefusal
from streamgauge.core.record import Status

from .playbook import Play, request_of

REFUSAL = b'{"type":"error","error":{"type":"invalid_request_error","message":"%s"}}'
SIGNATURE = REFUSAL % b"messages.1.content.0: Invalid `signature` in `thinking` block"
BARE = {"type": "thinking", "thinking": "hm", "signature": ""}
WORDS = {"type": "text", "text": "Yes."}
ANSWER = {
    "type": "message",
    "content": [WORDS],
    "stop_reason": "end_turn",
    "usage": {"input_tokens": 3, "output_tokens": 2},
}


def asked(*blocks: Any) -> Any:
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": list(blocks)}]
    return request_of("anthropic", stream=False, messages=[*turns, turns[0]])


def test_it_is_left_out_once_and_that_is_remembered() -> None:
    play = Play(asked(BARE, WORDS), kind="anthropic")
    play.answer(400, SIGNATURE)
    assert play.of(RememberRefusal) == [RememberRefusal("up", unsigned=True)]
    play.do("begun")
    play.do("connected")
    first, second = (json.loads(body) for body in play.requests)
    assert first["messages"][1]["content"] == [BARE, WORDS]
    assert second["messages"][1]["content"] == [WORDS]
    assert {**first, "messages": 0} == {**second, "messages": 0}
    assert play.exchange.lost == ("thinking",)
    play.do("attempt_head", 200, "application/json", None)
    play.data(json.dumps(ANSWER).encode())
    play.do("upstream_end", "complete")
    assert (play.row.status, play.row.attempts, play.whole.status) == (Status.COMPLETED, 2, 200)
    assert [a.http_status for a in play.of(Commit)[0].attempts] == [400, 200]


def test_what_is_known_to_be_refused_is_left_out_from_the_start() -> None:
    play = Play(asked(BARE, WORDS), kind="anthropic", attempt={"refuses_unsigned": True})
    play.do("start")
    play.do("begun")
    play.do("connected")
    [body] = map(json.loads, play.requests)
    assert body["messages"][1]["content"] == [WORDS]
    play.do("attempt_head", 400, "application/json", None)
    play.data(SIGNATURE)
    play.do("upstream_end", "complete")
    assert (play.opens, play.whole.status, play.of(RememberRefusal)) == (1, 400, [])


@pytest.mark.parametrize(
    ("blocks", "status", "body"),
    [
        ([WORDS], 400, SIGNATURE),
        ([BARE | {"signature": "S"}], 400, SIGNATURE),
        ([BARE], 422, SIGNATURE),
        ([BARE], 400, REFUSAL % b"prompt is too long"),
        ([BARE], 400, REFUSAL % b"Expected `thinking` or `redacted_thinking`, but found `text`"),
    ],
)
def test_any_other_refusal_is_the_clients(blocks: Any, status: int, body: bytes) -> None:
    play = Play(asked(*blocks), kind="anthropic")
    play.answer(status, body)
    assert (play.opens, play.whole.status) == (1, status)


def test_a_translated_request_has_none_of_it_to_leave_out() -> None:
    """It is written without unsigned reasoning; whose signature is meant, its client must see."""
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    request = request_of("openai", stream=False, messages=[*turns, turns[0]])
    play = Play(request, kind="anthropic", attempt={"dialect": "anthropic"})
    play.answer(400, SIGNATURE)
    assert (play.opens, play.whole.status, play.of(RememberRefusal)) == (1, 400, [])


FOREIGN = "streamgauge:google-gemini-v1:S"
HIDDEN = REFUSAL % b"messages.1.content.0: Invalid `data` in `redacted_thinking` block"


@pytest.mark.parametrize(
    ("block", "refusal"),
    [
        (BARE | {"signature": FOREIGN}, SIGNATURE),
        ({"type": "redacted_thinking", "data": FOREIGN}, HIDDEN),
    ],
)
def test_what_another_maker_sealed_is_left_out_once_too(block: Any, refusal: bytes) -> None:
    play = Play(asked(block, WORDS), kind="anthropic")
    play.answer(400, refusal)
    play.do("begun")
    play.do("connected")
    assert json.loads(play.requests[1])["messages"][1]["content"] == [WORDS]
