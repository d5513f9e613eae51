"""Turns that build on turns, and refusals by the upstream, from every client to every upstream."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from .matrix import CLIENTS, PIXEL, PIXEL_BYTES, UPSTREAMS
from .pairing import Pair, paired
from .stand import Answer, frames_of
from .translated import PATHS

pytestmark = [pytest.mark.asyncio(loop_scope="module")]

SEEN = f"{len(PIXEL_BYTES)} bytes sha256 {sha256(PIXEL_BYTES).hexdigest()}"
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}


@pytest_asyncio.fixture(loop_scope="module", scope="module", params=UPSTREAMS)
async def pair(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Pair]:
    async with paired(request.param, tmp_path_factory.mktemp("turns")) as built:
        yield built


# --- a tool's results ----------------------------------------------------------------------------


def _by_openai() -> dict[str, Any]:
    def call(number: int, city: str) -> dict[str, Any]:
        function = {"name": ("weather", "clock")[number], "arguments": json.dumps({"city": city})}
        return {"id": f"call_{number}", "type": "function", "function": function}

    tools = [
        {"type": "function", "function": {"name": name, "parameters": SCHEMA}}
        for name in ("weather", "clock")
    ]
    picture = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}}
    turns = [
        {"role": "user", "content": "what is it like?"},
        {
            "role": "assistant",
            "content": "Let me see.",
            "tool_calls": [call(0, "Rom"), call(1, "Ulm")],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": "half past nine"},
        {"role": "tool", "tool_call_id": "call_0", "content": "rain – 12 °C"},
        {"role": "user", "content": [{"type": "text", "text": "and this?"}, picture]},
    ]
    return {"messages": turns, "tools": tools}


def _by_anthropic() -> dict[str, Any]:
    def use(number: int, city: str) -> dict[str, Any]:
        name = ("weather", "clock")[number]
        return {"type": "tool_use", "id": f"call_{number}", "name": name, "input": {"city": city}}

    source = {"type": "base64", "media_type": "image/png", "data": PIXEL}
    picture = {"type": "image", "source": source}
    results = [
        {"type": "tool_result", "tool_use_id": "call_1", "content": "half past nine"},
        {
            "type": "tool_result",
            "tool_use_id": "call_0",
            "is_error": True,
            "content": [{"type": "text", "text": "rain – 12 °C"}, picture],
        },
        {"type": "text", "text": "and this?"},
    ]
    spoken = [{"type": "text", "text": "Let me see."}, use(0, "Rom"), use(1, "Ulm")]
    turns = [
        {"role": "user", "content": "what is it like?"},
        {"role": "assistant", "content": spoken},
        {"role": "user", "content": results},
    ]
    tools = [{"name": name, "input_schema": SCHEMA} for name in ("weather", "clock")]
    return {"messages": turns, "tools": tools}


def _request(client: str, *, stream: bool, **more: Any) -> dict[str, Any]:
    asked = _by_anthropic() if client == "anthropic" else _by_openai()
    return {"model": "sim", "max_tokens": 900, "stream": stream, **asked, **more}


@pytest.mark.parametrize("client", CLIENTS)
async def test_results_find_their_calls_and_pictures_come_along(pair: Pair, client: str) -> None:
    """The simulator answers with the name of each result's call, found by its id, and the images."""
    answer = await pair.it.ask(PATHS[client], _request(client, stream=False))
    assert answer.status == 200, answer.body
    told = answer.json()
    if client == "anthropic":
        text = "".join(block["text"] for block in told["content"])
    else:
        text = told["choices"][0]["message"]["content"]
    lines = text.splitlines()
    assert "clock said: half past nine" in lines
    [weather] = [line for line in lines if line.startswith("weather said: ")]
    assert "rain – 12 °C" in weather
    if client == "anthropic" and pair.upstream != "anthropic":
        assert "Error: " in weather, "an error is told in words where there is no flag"
    assert f"image 1: {SEEN}" in lines
    assert not [line for line in lines if line.startswith("unknown call")]


# --- what was thought ----------------------------------------------------------------------------

THINKS = 'think\nsim: {"reasoning": "a b c", "redacted": true}\nsim-tool: weather {"city": "Rom"}'


@pytest.mark.parametrize("upstream", ["anthropic", "openrouter"])
@pytest.mark.parametrize("stream", [True, False])
async def test_signed_thoughts_go_back_as_they_were_given(
    tmp_path: Path, upstream: str, stream: bool
) -> None:
    """What an upstream signed, or nobody can read, it gets again from a client of the other dialect."""
    async with paired(upstream, tmp_path) as pair:
        await send_thoughts_back(pair, stream=stream)


async def send_thoughts_back(pair: Pair, *, stream: bool) -> None:
    """Ask for thoughts and a call, and send both back with the call's result."""
    upstream, clients = pair.upstream, pair.clients
    turns: list[Any] = [{"role": "user", "content": THINKS}]
    if upstream == "anthropic":
        spoken = await clients.chat_message(turns, _by_openai()["tools"], stream=stream)
        assert [d["type"] for d in spoken["reasoning_details"]] == [
            "reasoning.text",
            "reasoning.encrypted",
        ]
        [call] = spoken["tool_calls"]
        turns += [spoken, {"role": "tool", "tool_call_id": call["id"], "content": "rain"}]
        path, request = PATHS["openai"], _request("openai", stream=False, messages=turns)
    else:
        blocks = await clients.message_blocks(turns, _by_anthropic()["tools"], stream=stream)
        assert [b["type"] for b in blocks] == ["thinking", "redacted_thinking", "tool_use"]
        result = {"type": "tool_result", "tool_use_id": blocks[2]["id"], "content": "rain"}
        turns += [{"role": "assistant", "content": blocks}, {"role": "user", "content": [result]}]
        path, request = PATHS["anthropic"], _request("anthropic", stream=False, messages=turns)
    answer = await pair.it.ask(path, request)
    assert answer.status == 200, answer.body
    assert b"weather said: rain" in answer.body
    sent = json.loads(pair.calls[-1].body)["messages"][1]
    kinds = [d["type"] for d in sent.get("reasoning_details") or sent["content"]]
    assert kinds[:2] == (
        ["thinking", "redacted_thinking"]
        if upstream == "anthropic"
        else ["reasoning.text", "reasoning.encrypted"]
    )


# --- refusals ------------------------------------------------------------------------------------

REFUSED = {
    "http_400": (400, "upstream_error"),
    "http_401": (502, "upstream_auth"),
    "http_429": (429, "upstream_error"),
    "http_500": (500, "upstream_error"),
    "http_503": (503, "upstream_error"),
    "html": (502, "upstream_protocol_error"),
    "redirect": (502, "upstream_error"),
}


@pytest.mark.parametrize("fault", REFUSED)
@pytest.mark.parametrize("client", CLIENTS)
async def test_a_refusal_is_told_in_the_clients_own_words(
    pair: Pair, client: str, fault: str
) -> None:
    status, code = REFUSED[fault]
    turn = {"role": "user", "content": f'hi\nsim: {{"fault": "{fault}"}}'}
    for stream in (True, False):
        request = _request(client, stream=stream, messages=[turn])
        answer = await pair.it.ask(PATHS[client], request, authorization="Bearer sk-of-the-client")
        row, _ = await pair.books(answer.id)
        told = answer.json()
        assert (answer.status, told["error"]["code"]) == (status, code), answer.body
        assert (told.get("type") == "error") is (client == "anthropic")
        assert told["error"]["message"]
        assert b"sk-of-the-client" not in answer.body
        assert answer.headers.get("retry-after") == ("1" if fault == "http_429" else None)
        assert (row["http_status"], row["error_code"]) == (status, code)
        assert row["success"] is False


@pytest.mark.parametrize("upstream", UPSTREAMS)
async def test_an_upstream_that_refuses_our_option_is_asked_without_it(
    tmp_path: Path, upstream: str
) -> None:
    turn = {"role": "user", "content": 'hi\nsim: {"text": "so", "fault": "refuse_usage_option"}'}
    for client in CLIENTS:
        (folder := tmp_path / client).mkdir()
        async with paired(upstream, folder) as pair:  # for it is remembered
            request = _request(client, stream=True, messages=[turn])
            answer = await pair.it.ask(PATHS[client], request)
            row = await pair.it.row(answer.id)
            tried = len(pair.calls)
        assert answer.status == 200, answer.body
        # Anthropic and Ollama know no such option.
        plain = upstream == "anthropic" or (upstream == "ollama" and client != "openai")
        assert tried == (1 if plain else 2)
        assert (row["status"], row["attempts"]) == ("completed", tried)


# --- many at once --------------------------------------------------------------------------------


def _text(client: str, body: bytes, *, stream: bool) -> str:
    """Return the visible text of an answer, streamed or not."""
    if not stream:
        told = json.loads(body)
        if client == "anthropic":
            return "".join(block["text"] for block in told["content"])
        return str(told["choices"][0]["message"]["content"])
    lines = body.splitlines() if client == "simple" else frames_of(body)
    text = ""
    for told in (json.loads(line) for line in lines if line.startswith(b"{")):
        for choice in told.get("choices", ()):
            text += choice["delta"].get("content") or ""
        text += told.get("content", "") + told.get("delta", {}).get("text", "")
    return text


@pytest.mark.parametrize("upstream", UPSTREAMS)
async def test_many_at_once_do_not_mix(tmp_path: Path, upstream: str) -> None:
    """Each call has its own words, gaps and end; whatever is shared would show."""
    async with paired(upstream, tmp_path) as pair:
        await ask_many(pair)


async def ask_many(pair: Pair) -> None:
    """Ask forty things at once, by every client."""
    drawn = random.Random(20_261_121)

    async def call(number: int) -> tuple[Answer, int]:
        client, stream = CLIENTS[number % 4], drawn.random() < 0.8
        words = [f"n{number}w{k}" for k in range(drawn.randrange(5, 30))]
        sim = {"text": " ".join(words), "gap_ms": drawn.randrange(4)}
        turn = {"role": "user", "content": f"hi\nsim: {json.dumps(sim)}"}
        request = _request(client, stream=stream, messages=[turn])
        answer = await pair.it.ask(PATHS[client], request, odd=client == "openai")
        assert answer.status == 200
        assert _text(client, answer.body, stream=stream) == " ".join(words)
        return answer, len(words)

    called = await asyncio.gather(*(call(number) for number in range(40)))
    assert len({answer.id for answer, _ in called}) == len(called)
    for answer, words in called:
        row, entry = await pair.books(answer.id)
        assert (row["status"], row["output_tokens"]) == ("completed", words)
        assert row["input_tokens"] == entry.prompt_tokens


# --- Anthropic's endpoint of others --------------------------------------------------------------


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("upstream", ["llamacpp", "vllm", "ollama"])
async def test_the_messages_endpoint_of_a_local_server_is_used_where_it_is_chosen(
    tmp_path: Path, upstream: str, stream: bool
) -> None:
    turn = {"role": "user", "content": 'hi\nsim: {"text": "eins zwei"}'}
    request = _request("anthropic", stream=stream, messages=[turn])
    async with paired(upstream, tmp_path, messages_api="native") as pair:
        answer = await pair.it.ask(PATHS["anthropic"], request)
        row, entry = await pair.books(answer.id)
        sent = pair.calls[-1]
    assert sent.bare_path == "/v1/messages"
    assert json.loads(sent.body) == request, "it goes as it is"
    assert _text("anthropic", answer.body, stream=stream) == "eins zwei"
    assert (row["status"], row["usage_source"]) == ("completed", "provider")
    assert (row["input_tokens"], row["output_tokens"]) == (entry.prompt_tokens, 2)
