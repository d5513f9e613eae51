"""How much a request can take, read from what it says of itself."""

from __future__ import annotations

import json
from typing import Any

import pytest

from streamgauge.core.attempt import Attempt
from streamgauge.core.call_bounds import CEILING, call_bounds
from streamgauge.core.chat import read_chat_request
from streamgauge.core.dialects.base import Wish
from streamgauge.core.dialects.codecs import CLIENTS, UPSTREAMS
from streamgauge.core.estimate import estimate_tokens
from streamgauge.core.limit_terms import Demand

from .transform.chains import chain

HELLO = {"messages": [{"role": "user", "content": "hello " * 100}]}


def bounds(endpoint: str, context: int | None = None, **fields: Any) -> Demand:
    request = read_chat_request(endpoint, json.dumps(fields).encode(), lambda name: None)
    return call_bounds(request, None, lambda: context)


@pytest.mark.parametrize(
    ("endpoint", "fields", "output"),
    [
        ("chat/completions", {"max_tokens": 7}, 7),
        ("chat/completions", {"max_completion_tokens": 9, "max_tokens": 7}, 9),
        ("chat/completions", {"max_completion_tokens": 9, "n": 3}, 27),
        ("chat/completions", {}, None),
        ("chat/completions", {"max_tokens": None}, None),
        ("chat/completions", {"max_tokens": -1}, None),
        ("chat/completions", {"max_tokens": True}, None),
        ("chat/completions", {"max_tokens": "9"}, None),
        ("messages", {"max_tokens": 7}, 7),
        ("completions", {"max_tokens": 7, "prompt": "x"}, 7),
        ("completions", {"max_tokens": 7, "prompt": ["x", "y", "z"], "n": 2}, 42),
        ("completions", {"max_tokens": 7, "prompt": [[1, 2], [3]]}, 14),
        ("completions", {"max_tokens": 7, "prompt": [1, 2, 3]}, 7),
        ("completions", {"max_tokens": 7, "prompt": [], "n": 2}, 14),
        ("completions", {"max_tokens": 7, "prompt": "x", "n": 2, "best_of": 5}, 35),
        ("completions", {"max_tokens": 7, "prompt": "x", "n": 5, "best_of": 2}, 35),
        ("chat/completions", {"max_tokens": 7, "prompt": ["x", "y"], "best_of": 5}, 7),
        ("responses", {"max_output_tokens": 7, "max_tokens": 1}, 7),
        ("embeddings", {"input": "x", "max_tokens": 5}, 0),
    ],
)
def test_the_output_is_bounded_as_the_request_bounds_it(
    endpoint: str, fields: dict[str, Any], output: int | None
) -> None:
    assert bounds(endpoint, **fields).output_tokens == output


def test_without_a_bound_the_context_or_the_longest_answer_there_is_bounds_it() -> None:
    assert bounds("messages", **HELLO).ceiling == CEILING
    assert bounds("messages", 4096, **HELLO).ceiling == 4096
    assert bounds("chat/completions", 4096, n=2, **HELLO).ceiling == 8192
    assert bounds("messages", CEILING * 2, **HELLO).ceiling == CEILING
    assert bounds("embeddings", 4096, input="x").ceiling == 0
    assert bounds("completions", 4096, prompt=["x", "y"]).ceiling == 8192


def test_the_context_is_not_asked_for_where_the_request_bounds_its_answer() -> None:
    def never() -> int | None:
        raise AssertionError("it decides nothing")

    request = read_chat_request("messages", b'{"messages": [], "max_tokens": 7}', lambda name: None)
    assert call_bounds(request, None, never).output_tokens == 7


def test_the_input_of_a_long_request_is_a_quarter_more_than_it_is_estimated() -> None:
    long = {"messages": [{"role": "user", "content": "hello " * 1000}]}
    estimate = estimate_tokens(CLIENTS["openai"].read(long))
    assert estimate > 1000
    assert bounds("chat/completions", **long).input_tokens == estimate + estimate // 4


def test_a_picture_counts_as_one_however_short_or_long_its_request_is() -> None:
    for url in ("https://example.com/a.png", "data:image/png;base64," + "A" * 100_000):
        part = {"type": "image_url", "image_url": {"url": url}}
        messages = [{"role": "user", "content": [part]}]
        assert (
            bounds("chat/completions", messages=messages).input_tokens == 2005
        )  # 1604 and a quarter


def test_a_conversation_that_was_read_already_is_not_read_again() -> None:
    request = read_chat_request("messages", b'{"messages": 1}', lambda name: None)
    assert call_bounds(request, CLIENTS["openai"].read(HELLO), lambda: None).input_tokens > 100


@pytest.mark.parametrize("endpoint", ["chat/completions", "embeddings", "completions"])
@pytest.mark.parametrize("letters", [400, 8000])
def test_what_is_not_read_is_a_token_for_three_bytes(endpoint: str, letters: int) -> None:
    fields = {"messages": [{"role": "nobody"}], "input": "x" * letters}
    size = len(json.dumps(fields).encode())
    assert bounds(endpoint, **fields).input_tokens == -(-size // 3)


CAP, FILL = {"max_tokens": {"cap": 50}}, {"max_tokens": {"default": 80}}
THINK = {"reasoning": {"budget": 2000}}


def attempt(kind: str, *transformers: Any, dialect: Any = None) -> Attempt:
    return Attempt("up", kind, "m", dialect, chain(kind, transformers))


@pytest.mark.parametrize(
    ("fields", "attempts", "output"),
    [
        ({"max_tokens": 200}, [attempt("openai", CAP)], 50),
        ({"max_tokens": 20}, [attempt("openai", CAP)], 20),
        ({}, [attempt("openai", CAP)], 50),
        ({}, [attempt("openai", FILL)], 80),
        ({"n": 2}, [attempt("openai", FILL)], 160),
        ({"max_tokens": 200}, [attempt("openai", CAP), attempt("vllm")], 200),
        ({"max_tokens": 7}, [attempt("openai", CAP), attempt("vllm", FILL)], 7),
        ({}, [attempt("openai", CAP), attempt("vllm")], None),
        ({}, [attempt("anthropic", CAP, dialect="anthropic")], 50),
        ({"max_tokens": 9}, [attempt("anthropic", dialect="anthropic")], 9),
        ({}, [attempt("anthropic", THINK, FILL, dialect="anthropic")], 80),
        ({"n_predict": 300, "max_tokens": 9}, [attempt("llamacpp")], 300),
        ({"n_predict": 300, "max_tokens": 9}, [attempt("vllm")], 9),
        ({"n_predict": -1, "max_tokens": 9}, [attempt("llamacpp")], None),
        ({"n_predict": None, "max_tokens": 9}, [attempt("llamacpp")], 9),
        ({"n_predict": -1, "max_tokens": 9}, [attempt("llamacpp", CAP)], 50),
        ({"n_predict": 300}, [attempt("llamacpp", CAP)], 50),
    ],
)
def test_the_output_is_bounded_as_the_planned_upstreams_are_told(
    fields: dict[str, Any], attempts: list[Attempt], output: int | None
) -> None:
    said = {**HELLO, **fields}
    request = read_chat_request("chat/completions", json.dumps(said).encode(), lambda name: None)
    read = CLIENTS["openai"].read(said)
    assert call_bounds(request, read, lambda: None, (), attempts).output_tokens == output


ANTHROPIC = attempt("anthropic", dialect="anthropic")


@pytest.mark.parametrize(
    ("fields", "attempts", "ceiling"),
    [
        ({}, [ANTHROPIC], 4096),
        ({"max_tokens": -1}, [ANTHROPIC], 4096),
        ({"reasoning_effort": "high"}, [ANTHROPIC], 8192),
        ({}, [attempt("anthropic", THINK, dialect="anthropic")], 6096),
        ({}, [ANTHROPIC, attempt("openai", CAP)], 4096),
        ({}, [ANTHROPIC, attempt("openai")], 20_000),
        ({}, [attempt("openai"), ANTHROPIC], 20_000),
        ({}, [attempt("ollama", dialect="ollama")], 20_000),
    ],
)
def test_a_bound_that_only_the_upstreams_dialect_needs_is_the_most_and_not_the_least(
    fields: dict[str, Any], attempts: list[Attempt], ceiling: int
) -> None:
    said = {**HELLO, **fields}
    request = read_chat_request("chat/completions", json.dumps(said).encode(), lambda name: None)
    read = CLIENTS["openai"].read(said)
    demand = call_bounds(request, read, lambda: 20_000, (), attempts)
    assert (demand.output_tokens, demand.ceiling) == (None, ceiling)
    for each in attempts:
        if each.dialect == "anthropic" and ceiling != 20_000:
            wish = Wish("anthropic", "m", stream=True)
            written = UPSTREAMS["anthropic"].write(each.transformers.conversation(read), wish)
            assert json.loads(written.body)["max_tokens"] == ceiling


def test_a_messages_request_is_bounded_as_its_native_upstream_is_told() -> None:
    request = read_chat_request(
        "messages", b'{"messages": [], "max_tokens": 70}', lambda name: None
    )
    assert call_bounds(request, None, lambda: 9, (), [attempt("sim", CAP)]).output_tokens == 50
