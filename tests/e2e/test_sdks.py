"""The official OpenAI and Anthropic SDKs through a gateway: what they return, and what the rows say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from .agreement import agreed_rows
from .sdk_calls import ASKED, anthropic_client, chat_chunks, message_events, openai_client, whole
from .stand import stand

TEXT = "Grüße – 你好, 👋 said the gateway."
WEATHER = {"type": "object", "properties": {"city": {"type": "string"}}}
ARGUMENTS = {"city": "Malmö", "days": [1, 2]}
OPENAI_TOOL: Any = {"type": "function", "function": {"name": "weather", "parameters": WEATHER}}
ANTHROPIC_TOOL: Any = {"name": "weather", "input_schema": WEATHER}
TOOL_CALL = {"tool": {"name": "weather", "arguments": ARGUMENTS}}
WAYS = pytest.mark.parametrize("way", ["sync", "async"])
OPENAI_MODES = pytest.mark.parametrize("mode", ["off", "comment", "chunk", "after_done"])
ANTHROPIC_MODES = pytest.mark.parametrize("mode", ["off", "comment", "chunk"])
TOLD = ("status", "finish_reason", "input_tokens", "output_tokens", "usage_source", "ttft_ms")

pytestmark = [pytest.mark.asyncio]


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def text_of(chunks: list[Any]) -> str:
    """Return the text of chat chunks."""
    return "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)


def check_told(told: dict[str, Any], row: dict[str, Any]) -> None:
    """Check that what the client was told is what the row says (SPEC §10.2)."""
    assert told["request_id"] == row["id"]
    assert {name: told[name] for name in TOLD} == {name: row[name] for name in TOLD}


# --- OpenAI --------------------------------------------------------------------------------------


@WAYS
@OPENAI_MODES
@pytest.mark.parametrize("flavour", ["openai", "llamacpp"])
async def test_openai_streams_chat(tmp_path: Path, way: str, mode: str, flavour: str) -> None:
    options: Any = {"include_usage": True}
    sim = {"sim": {"text": TEXT, "reasoning": 2}}
    async with stand(tmp_path, flavour=flavour, config={"metadata": mode}) as it:
        chunks = await chat_chunks(it, way, stream_options=options, extra_body=sim)
        [row] = await agreed_rows(it, 1)
    assert text_of(chunks) == TEXT
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"
    [usage] = [c.usage for c in chunks if c.usage]
    assert usage.prompt_tokens == row["input_tokens"]
    assert usage.completion_tokens == row["output_tokens"]
    told = [c for c in chunks if "streamgauge" in c.model_extra]
    assert len(told) == (mode == "chunk")
    for chunk in told:
        assert (chunk.object, chunk.choices) == ("chat.completion.chunk", [])
        check_told(chunk.model_extra["streamgauge"], row)
    assert row["frames_out"] - row["frames_in"] == (mode in ("chunk", "after_done"))


@pytest.mark.parametrize("flavour", ["openai", "llamacpp", "vllm", "openrouter"])
async def test_openai_does_not_see_the_usage_that_only_we_asked_for(
    tmp_path: Path, flavour: str
) -> None:
    async with stand(tmp_path, flavour=flavour) as it:
        chunks = await chat_chunks(it, extra_body={"sim": {"text": TEXT}})
        await agreed_rows(it, 1)
    assert text_of(chunks) == TEXT
    assert [c for c in chunks if c.usage or not c.choices] == []


async def test_openai_finds_the_comment_in_the_raw_lines(tmp_path: Path) -> None:
    async with stand(tmp_path) as it, openai_client(it) as client:
        create = client.chat.completions.with_streaming_response.create
        async with create(model="sim", messages=ASKED, stream=True) as response:
            lines = [line async for line in response.iter_lines()]
        [row] = await agreed_rows(it, 1)
    comments = [line for line in lines if line.startswith(": streamgauge ")]
    assert len(comments) == 1
    check_told(json.loads(comments[0].removeprefix(": streamgauge ")), row)
    assert lines[lines.index(comments[0]) + 1] == "data: [DONE]"


@WAYS
@pytest.mark.parametrize("flavour", ["openai", "llamacpp"])
async def test_openai_answers_whole(tmp_path: Path, way: str, flavour: str) -> None:
    async with stand(tmp_path, flavour=flavour) as it:
        answer = await whole(it, "openai", way, extra_body={"sim": {"text": TEXT}})
        [row] = await agreed_rows(it, 1)
    assert answer.choices[0].message.content == TEXT
    assert answer.usage.prompt_tokens == row["input_tokens"]
    assert answer._request_id == row["id"]


@OPENAI_MODES
async def test_openai_streams_parallel_tool_calls(tmp_path: Path, mode: str) -> None:
    calls = [TOOL_CALL["tool"], {"name": "weather", "arguments": {"city": "Ålesund"}}]
    async with (
        stand(tmp_path, config={"metadata": mode}) as it,
        openai_client(it) as client,
        client.chat.completions.stream(
            model="sim", messages=ASKED, tools=[OPENAI_TOOL], extra_body={"sim": {"tool": calls}}
        ) as stream,
    ):
        async for _ in stream:
            pass
        choice = (await stream.get_final_completion()).choices[0]
        [row] = await agreed_rows(it, 1)
    functions = [call.function for call in choice.message.tool_calls or ()]
    got = [{"name": f.name, "arguments": json.loads(f.arguments)} for f in functions]
    assert got == calls
    assert choice.finish_reason == row["finish_reason"] == "tool_calls"


async def test_openai_carries_a_tool_turn_on(tmp_path: Path) -> None:
    sim = {"sim": TOOL_CALL}
    async with stand(tmp_path) as it, openai_client(it) as client:
        create = client.chat.completions.create
        first = await create(model="sim", messages=ASKED, tools=[OPENAI_TOOL], extra_body=sim)
        message = first.choices[0].message
        [call] = message.tool_calls or []
        result: Any = {"role": "tool", "tool_call_id": call.id, "content": "sunny"}
        spoken: Any = message.model_dump(exclude_none=True)
        last = await create(model="sim", messages=[*ASKED, spoken, result], tools=[OPENAI_TOOL])
        rows = await agreed_rows(it, 2)
    assert last.choices[0].message.content
    assert [row["finish_reason"] for row in rows] == ["tool_calls", "stop"]


@pytest.mark.parametrize("flavour", ["openai", "llamacpp"])
@pytest.mark.parametrize("mode", ["off", "comment", "chunk"])
async def test_openai_uses_the_other_endpoints(tmp_path: Path, flavour: str, mode: str) -> None:
    sim = {"sim": {"text": TEXT}}
    async with (
        stand(tmp_path, flavour=flavour, config={"metadata": mode}) as it,
        openai_client(it) as client,
    ):
        legacy = await client.completions.create(model="sim", prompt="go", extra_body=sim)
        options: Any = {"include_usage": True}
        stream = await client.completions.create(
            model="sim", prompt="go", stream=True, stream_options=options, extra_body=sim
        )
        pieces = [c async for c in stream]
        response = await client.responses.create(model="sim", input="go", extra_body=sim)
        async with client.responses.stream(model="sim", input="go", extra_body=sim) as events:
            kinds = [event.type async for event in events]
            final = await events.get_final_response()
        names = [model.id async for model in client.models.list()]
        rows = await agreed_rows(it, 4)
    assert legacy.choices[0].text == TEXT
    assert "".join(c.choices[0].text for c in pieces if c.choices) == TEXT
    assert response.output_text == final.output_text == TEXT
    assert kinds[0] == "response.created"
    assert kinds[-1] == "response.completed"
    assert final.usage is not None
    assert final.usage.output_tokens == rows[-1]["output_tokens"]
    assert names
    endpoints = ["completions", "completions", "responses", "responses"]
    assert [row["endpoint"] for row in rows] == endpoints
    added = [row["frames_out"] - row["frames_in"] for row in rows[1::2]]
    assert added == [mode == "chunk", False], "Responses are told by a comment in chunk mode too"


async def test_openai_embeds(tmp_path: Path) -> None:
    async with stand(tmp_path, flavour="openai") as it, openai_client(it) as client:
        answer = await client.embeddings.create(model="sim", input=["one two", "three"])
        [row] = await it.rows()
        [entry] = it.simulator.journal
    assert [data.embedding for data in answer.data] == [[0.25, -0.5, 0.0], [0.25, -0.5, 1.0]]
    assert answer.usage.prompt_tokens == row["input_tokens"] == entry.prompt_tokens == 3
    assert (row["status"], row["input_source"]) == ("completed", "provider")
    assert row["output_tokens"] is None, "an embedding has no output tokens: unknown, not 0"


# --- Anthropic -----------------------------------------------------------------------------------


@WAYS
@ANTHROPIC_MODES
@pytest.mark.parametrize("flavour", ["anthropic", "llamacpp"])
async def test_anthropic_streams_messages(
    tmp_path: Path, way: str, mode: str, flavour: str
) -> None:
    sim = {"sim": {"text": TEXT, "reasoning": 3, "cached": 2}}
    async with stand(tmp_path, flavour=flavour, config={"metadata": mode}) as it:
        events, message = await message_events(it, way, extra_body=sim)
        [row] = await agreed_rows(it, 1)
    assert [block.type for block in message.content] == ["thinking", "text"]
    assert message.content[1].text == TEXT
    assert message.stop_reason == row["finish_reason"] == "end_turn"
    assert events[-1].type == "message_stop"
    usage = message.usage
    assert usage.input_tokens + usage.cache_read_input_tokens == row["input_tokens"]
    assert usage.cache_read_input_tokens == row["cache_read_tokens"] == 2
    assert usage.output_tokens == row["output_tokens"]
    assert row["frames_out"] == row["frames_in"], "neither a comment nor a ping is a frame"


@pytest.mark.parametrize("mode", ["event", "after_done"])
async def test_anthropic_raw_streams_yield_our_event(tmp_path: Path, mode: str) -> None:
    async with stand(tmp_path) as it, anthropic_client(it) as client:
        stream = await client.messages.create(
            model="sim",
            messages=ASKED,
            max_tokens=50,
            stream=True,
            extra_headers={"x-streamgauge-meta": mode},
        )
        events: list[Any] = [event async for event in stream]
        [row] = await agreed_rows(it, 1)
    [ours] = [event for event in events if hasattr(event, "request_id")]
    check_told(ours.to_dict(), row)
    before, last = events[-2:]
    assert (last if mode == "event" else before).type == "message_stop"
    assert (before if mode == "event" else last) is ours
    assert row["frames_out"] == row["frames_in"] + 1


async def test_anthropic_finds_the_ping_in_the_raw_lines(tmp_path: Path) -> None:
    async with stand(tmp_path, config={"metadata": "chunk"}) as it, anthropic_client(it) as client:
        create = client.messages.with_streaming_response.create
        async with create(model="sim", messages=ASKED, max_tokens=50, stream=True) as response:
            lines = [line async for line in response.iter_lines()]
        [row] = await agreed_rows(it, 1)
    pings = [json.loads(line[6:]) for line in lines if line.startswith('data: {"type":"ping"')]
    check_told(pings[-1]["streamgauge"], row)


@WAYS
@pytest.mark.parametrize("flavour", ["anthropic", "llamacpp"])
async def test_anthropic_answers_whole(tmp_path: Path, way: str, flavour: str) -> None:
    sim = {"sim": {"text": TEXT, "cached": 1}}
    async with stand(tmp_path, flavour=flavour) as it:
        answer = await whole(it, "anthropic", way, max_tokens=99, extra_body=sim)
        [row] = await agreed_rows(it, 1)
    assert answer.content[0].text == TEXT
    assert answer.usage.output_tokens == row["output_tokens"]
    assert answer._request_id == row["id"]


@ANTHROPIC_MODES
@pytest.mark.parametrize("flavour", ["anthropic", "llamacpp"])
async def test_anthropic_carries_a_tool_turn_on(tmp_path: Path, mode: str, flavour: str) -> None:
    asked: dict[str, Any] = {"tools": [ANTHROPIC_TOOL]}
    async with stand(tmp_path, flavour=flavour, config={"metadata": mode}) as it:
        _, first = await message_events(it, extra_body={"sim": TOOL_CALL}, **asked)
        [block] = first.content
        result = {"type": "tool_result", "tool_use_id": block.id, "content": "sunny"}
        spoken = {"role": "assistant", "content": [block.model_dump(exclude_none=True)]}
        turns = [*ASKED, spoken, {"role": "user", "content": [result]}]
        _, last = await message_events(it, messages=turns, **asked)
        rows = await agreed_rows(it, 2)
    assert (block.type, block.name, block.input) == ("tool_use", "weather", ARGUMENTS)
    assert last.content[0].text
    assert [row["finish_reason"] for row in rows] == ["tool_use", "end_turn"]


async def test_anthropic_counts_tokens_and_lists_models(tmp_path: Path) -> None:
    async with stand(tmp_path, flavour="anthropic") as it, anthropic_client(it) as client:
        counted = await client.messages.count_tokens(model="sim", messages=ASKED)
        names = [model.id async for model in client.models.list()]
        rows = await it.rows()
    assert counted.input_tokens == 3
    assert names
    assert rows == [], "neither is an exchange"
