"""The chain of an upstream: its order, its defaults, and what it leaves alone."""

from __future__ import annotations

import json
from typing import Any

import pytest

from streamgauge.config.upstream import Kind
from streamgauge.core.dialects.codecs import CLIENTS
from streamgauge.core.transform.body import Form
from streamgauge.core.transform.chain import NO_TRANSFORMERS
from streamgauge.core.transform.max_tokens import MaxTokens
from streamgauge.core.transform.mid_system import MidSystem
from streamgauge.core.transform.num_ctx import NumCtx
from streamgauge.core.transform.openrouter_prefix import OpenRouterPrefix
from streamgauge.core.transform.strip_attribution import StripAttribution

from ..playbook import Play, chat_request, request_of
from .chains import chain, chunk, played

CHAT = Form("openai", "llamacpp", "chat/completions")
LOCAL = (StripAttribution(), MidSystem())


@pytest.mark.parametrize("kind", list(Kind))
def test_two_are_on_by_default_for_local_kinds(kind: Kind) -> None:
    made = chain(kind, [])
    assert made.body == (LOCAL if kind in ("llamacpp", "ollama", "vllm") else ())
    if not made.body:
        assert made == NO_TRANSFORMERS
    assert chain(kind, ["-mid_system", "-strip_attribution"] if made.body else []).body == ()


def test_the_order_is_the_configurations_and_defaults_come_first() -> None:
    made = chain("ollama", [{"num_ctx": 5}, "mid_system", {"max_tokens": {"cap": 9}}])
    assert made.body == (StripAttribution(), NumCtx(5), MidSystem(), MaxTokens(9))
    assert (made.prompt, made.written) == ((LOCAL[0], LOCAL[1], MaxTokens(9)), (NumCtx(5),))


def test_steps_see_what_those_before_them_made() -> None:
    body = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 4}
    raw = json.dumps(body).encode()
    made = chain("openai", [{"max_tokens": {"cap": 3}}, {"sampling": {"seed": 1}}])
    told = json.loads(made.body_as_is(raw, CHAT, body))
    assert told == {**body, "max_tokens": 3, "seed": 1}


def test_every_byte_stays_but_of_the_members_that_changed() -> None:
    raw = (
        b'{ "own" : [1.50, 1E2, "\\u00fc\\ud800"],"max_tokens":99 , "messages":[ ], "z":{"a":1.0}}'
    )
    body = json.loads(raw)
    made = chain("openai", [{"max_tokens": {"cap": 3}}, {"sampling": {"drop": ["top_p"]}}])
    after = made.body_as_is(raw, CHAT, body)
    assert after == raw.replace(b"99", b"3")
    assert body == json.loads(raw), "the client's own body is left alone"
    dropped = chain("openai", [{"sampling": {"drop": ["top_p"]}}])
    raw = b'{"a":1, "top_p":.5 ,"b":2}'.replace(b".5", b"0.5")
    assert dropped.body_as_is(raw, CHAT, json.loads(raw)) == b'{"a":1, "b":2}'
    raw = b'{"a":1, "top_p":0.5 }'
    assert dropped.body_as_is(raw, CHAT, json.loads(raw)) == b'{"a":1 }'
    assert dropped.body_as_is(b'{"top_p":1}', CHAT, {"top_p": 1}) == b"{}"


@pytest.mark.parametrize("raw", [b'{"messages":7}', b'{"messages":[1]}', b'{"prompt":"hi"}',
                                 b'{"messages":[{"role":"user"},{"role":"system","content":null}]}',
                                 b'{"messages":[{"role":"system"}],"system":7,"tools":[1]}'])  # fmt: skip
@pytest.mark.parametrize("endpoint", ["chat/completions", "messages", "completions"])
def test_a_body_that_is_odd_is_the_upstreams_to_refuse(raw: bytes, endpoint: str) -> None:
    every: list[Any] = ["system_to_messages", "strip_cache_control", {"num_ctx": 5},
                        {"reasoning": {"budget": 5}}]  # fmt: skip
    dialect: Any = "anthropic" if endpoint == "messages" else "openai"
    form = Form(dialect, "llamacpp", endpoint)
    after = chain("llamacpp", every).body_as_is(raw, form, json.loads(raw))
    assert isinstance(json.loads(after), dict)


def test_a_translated_request_is_changed_before_it_is_written() -> None:
    """The default takes the place of the writer's own, and budgets fit below the cap."""
    told = [
        {"max_tokens": {"cap": 5000, "default": 700}},
        {"sampling": {"temperature": 0.5, "stop": ["END"]}},
        {"reasoning": {"budget": 9000}},
    ]
    play = Play(
        request_of("openai", max_tokens=9000, temperature=1.5, reasoning_effort="low"),
        kind="anthropic",
        attempt={"transformers": chain("anthropic", told[:1] + told[2:]), "dialect": "anthropic"},
    )
    play.connect()
    body = json.loads(play.requests[0])
    assert body["max_tokens"] == 5000
    assert body["thinking"] == {"type": "enabled", "budget_tokens": 2500}
    play = Play(
        request_of("openai", temperature=1.5),
        kind="anthropic",
        attempt={"transformers": chain("anthropic", told[:2]), "dialect": "anthropic"},
    )
    play.connect()
    body = json.loads(play.requests[0])
    assert (body["max_tokens"], body["temperature"]) == (700, 0.5)
    assert body["stop_sequences"] == ["END"]


def test_settings_without_a_neutral_word_are_set_in_what_was_written() -> None:
    made = chain("ollama", [{"num_ctx": 4096}, {"sampling": {"seed": 3}}])
    play = Play(
        request_of("anthropic"), kind="ollama", attempt={"transformers": made, "dialect": "ollama"}
    )
    play.connect()
    options = json.loads(play.requests[0])["options"]
    assert options == {"num_predict": 100, "seed": 3, "num_ctx": 4096}


def test_the_system_prompt_of_a_translated_request_is_said_by_the_user() -> None:
    made = chain("openai", ["system_to_messages"])
    said = CLIENTS["openai"].read(
        {"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}]}
    )
    told = made.conversation(said)
    assert (told.system, [part.text for part in told.messages[0].parts]) == ((), ["s", "u"])  # type: ignore[union-attr]
    assert chain("openai", [{"system_to_messages": {"role": "system"}}]).conversation(said) is said


def test_an_upstream_without_transformers_gets_the_request_as_it_came() -> None:
    request = chat_request(temperature=1.50)
    play = Play(request, attempt={"inject_usage": "false"})
    play.connect()
    assert play.requests[0] is request.raw


@pytest.mark.parametrize(
    ("model", "told"),
    [
        ("claude-sonnet-4-5", "anthropic/claude-sonnet-4-5"),
        ("gpt-5", "openai/gpt-5"),
        ("o3-mini", "openai/o3-mini"),
        ("qwen3-coder", "qwen/qwen3-coder"),
        ("meta-llama/llama-3", "meta-llama/llama-3"),
        ("nobodys", "nobodys"),
    ],
)
def test_openrouter_gets_the_makers_name_before_the_models(model: str, told: str) -> None:
    assert OpenRouterPrefix().name(model) == told


def test_a_prefix_of_ones_own_is_for_every_model_without_one() -> None:
    made = OpenRouterPrefix("mine/")
    assert (made.name("gpt-5"), made.name("a/b")) == ("mine/gpt-5", "a/b")


def test_frames_clients_get_html_where_the_upstream_is_told_so() -> None:
    pytest.importorskip("markdown_it")
    pieces = [chunk({"content": "**hi**"}), chunk({}, "stop"), b"data: [DONE]\n\n"]
    for client, html in (("frames", True), ("simple", False)):
        play = played(client, ["markdown_html"], pieces, dialect="openai")
        assert (b"<strong>hi</strong>" in play.body) is html


@pytest.mark.parametrize(
    ("client", "alive"),
    [
        ("openai", b": keep-alive\n"),
        ("anthropic", b"event: ping\n"),
        ("simple", b'{"type":"status","status":"writing"}'),
        ("frames", b": keep-alive\n"),
    ],
)
def test_an_answer_that_is_changed_has_its_clients_sign_of_life(client: Any, alive: bytes) -> None:
    made = chain("openai", ["tool_call_repair"])
    play = Play(request_of(client), attempt={"transformers": made, "dialect": "openai"})
    play.stream(chunk({"content": "a"}))
    before = len(play.body)
    play.do("tick", at=16.0)
    assert play.body[before:].startswith(alive)
