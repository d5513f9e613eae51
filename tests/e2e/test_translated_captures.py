"""What a real llama.cpp server sent, translated over sockets: the same answer in the other dialect."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ..faults.upstream import End, Step, head, in_chunks
from ..grammar_check import OURS, legal
from .sdk_calls import ASKED, anthropic_client, final_completion, openai_client
from .stand import DATA, Stand, frames_of, stand
from .translated import behind

CAPTURES = DATA / "captures"
CHAT = [
    case.stem
    for case in sorted(CAPTURES.glob("chat_stream*.body"))
    if not case.stem.endswith("client_stop")
]
MESSAGES = [
    case.stem
    for case in sorted(CAPTURES.glob("messages_stream*.body"))
    if not case.stem.endswith("client_stop")
]
NATIVE: dict[str, Any] = {"messages_api": "native"}
_STOPS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"}
_RAW = frozenset(
    "message_start content_block_start content_block_delta content_block_stop message_delta"
    " message_stop".split()
)

pytestmark = [pytest.mark.asyncio]


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


async def message_of(it: Stand) -> tuple[list[Any], Any]:
    """Return the events of one streamed message, and the message that the SDK makes of them."""
    request: Any = {"model": "asked-for", "messages": ASKED, "max_tokens": 500}
    async with anthropic_client(it) as client, client.messages.stream(**request) as stream:
        return [e async for e in stream], await stream.get_final_message()


async def completion_of(it: Stand) -> Any:
    """Return what the SDK makes of one streamed completion."""
    options: Any = {"include_usage": True}
    async with (
        openai_client(it) as client,
        client.chat.completions.stream(
            model="asked-for", messages=ASKED, stream_options=options
        ) as stream,
    ):
        async for _ in stream:
            pass
        return await final_completion(stream)


def chat_said(case: str) -> tuple[str, list[dict[str, Any]], str, dict[str, Any] | None]:
    """Work out with plain JSON what a chat capture says: text, calls, finish and usage."""
    text, calls, finish, usage = "", dict[int, dict[str, Any]](), "", None
    for payload in frames_of((CAPTURES / f"{case}.body").read_bytes()):
        if payload == b"[DONE]":
            continue
        told = json.loads(payload)
        usage = told.get("usage") or usage
        for choice in told["choices"]:
            text += choice["delta"].get("content") or ""
            finish = choice["finish_reason"] or finish
            for part in choice["delta"].get("tool_calls", ()):
                call = calls.setdefault(part["index"], {"id": part.get("id"), "json": ""})
                call["name"] = call.get("name") or part["function"].get("name")
                call["json"] += part["function"].get("arguments", "")
    return text, list(calls.values()), finish, usage


@pytest.mark.parametrize("case", CHAT)
async def test_a_chat_capture_is_the_same_answer_to_an_anthropic_client(
    tmp_path: Path, case: str
) -> None:
    async with stand(tmp_path, prefix=f"/capture/{case}", kind="llamacpp") as it:
        events, message = await message_of(it)
        [row] = await it.rows()
    text, calls, finish, usage = chat_said(case)
    blocks = message.content
    assert "".join(b.text for b in blocks if b.type == "text") == text
    used = [(b.id, b.name, b.input) for b in blocks if b.type == "tool_use"]
    assert used == [(c["id"], c["name"], json.loads(c["json"])) for c in calls]
    assert message.stop_reason == _STOPS[finish]
    check_events(events)
    assert row["status"] == "completed"
    if usage is not None:
        cached = usage.get("prompt_tokens_details", {}).get("cached_tokens", 0)
        told = message.usage
        assert told.input_tokens == usage["prompt_tokens"] - cached
        assert told.cache_read_input_tokens == row["cache_read_tokens"] == cached
        assert told.output_tokens == row["output_tokens"] == usage["completion_tokens"]


@pytest.mark.parametrize("case", MESSAGES)
async def test_a_messages_capture_is_the_same_answer_to_an_openai_client(
    tmp_path: Path, case: str
) -> None:
    async with stand(tmp_path, prefix=f"/capture/{case}", kind="llamacpp", **NATIVE) as it:
        _, message = await message_of(it)
    (tmp_path / "other").mkdir()
    async with stand(tmp_path / "other", prefix=f"/capture/{case}", kind="anthropic") as it:
        completion = await completion_of(it)
        [row] = await it.rows()
    [choice] = completion.choices
    blocks = message.content
    assert (choice.message.content or "") == "".join(b.text for b in blocks if b.type == "text")
    used = [(b.id, b.name, b.input) for b in blocks if b.type == "tool_use"]
    calls = choice.message.tool_calls or ()
    assert [(c.id, c.function.name, json.loads(c.function.arguments)) for c in calls] == used
    assert row["status"] == "completed"
    assert completion.usage.prompt_tokens == row["input_tokens"]
    assert completion.usage.completion_tokens == row["output_tokens"] == message.usage.output_tokens


def check_events(events: list[Any]) -> list[str]:
    """Check the order of a message's events, and return the types of its blocks."""
    raw = [e for e in events if e.type in _RAW]
    assert [e.type for e in raw].count("message_start") == 1
    assert raw[0].type == "message_start"
    assert raw[0].message.id.startswith("msg_")
    assert [e.type for e in raw[-2:]] == ["message_delta", "message_stop"]
    starts = [e for e in raw if e.type == "content_block_start"]
    stops = [e.index for e in raw if e.type == "content_block_stop"]
    assert [e.index for e in starts] == list(range(len(starts)))
    assert sorted(stops) == list(range(len(starts)))
    assert raw[-2].usage.output_tokens is not None
    return [e.content_block.type for e in starts]


def with_reasoning() -> tuple[list[bytes], list[str], list[str]]:
    """Return the tool capture with reasoning and text before its call, worded as the server does."""
    body = (CAPTURES / "chat_stream_tool.body").read_bytes()
    frames = [frame + b"\n\n" for frame in body.split(b"\n\n") if frame]
    thoughts, words = ["Ro", "ma ", "or Paris?"], ["I ", "look."]
    first = json.loads(frames[0].removeprefix(b"data: "))
    added = []
    for key, pieces in (("reasoning_content", thoughts), ("content", words)):
        for piece in pieces:
            choice = {"finish_reason": None, "index": 0, "delta": {key: piece}}
            told = json.dumps(first | {"choices": [choice]}).encode()
            added.append(b"data: " + told + b"\n\n")
    return [frames[0], *added, *frames[1:]], thoughts, words


async def test_reasoning_and_tools_of_llamacpp_become_rising_blocks(tmp_path: Path) -> None:
    frames, thoughts, words = with_reasoning()
    script: list[Step] = [head()]
    for frame in frames:
        script += [in_chunks(frame), 0.002]
    async with behind(tmp_path, "llamacpp", [*script, b"0\r\n\r\n", End.CLOSE]) as it:
        events, message = await message_of(it)
        again = await it.ask(
            "/v1/messages",
            {"model": "m", "max_tokens": 9, "stream": True, "messages": ASKED},
        )
        rows = await it.rows()
    legal("anthropic", again.body, OURS)
    assert check_events(events) == ["thinking", "text", "tool_use"]
    thinking, text, call = message.content
    assert (thinking.thinking, text.text) == ("".join(thoughts), "".join(words))
    [told] = chat_said("chat_stream_tool")[1]
    assert (call.id, call.name, call.input) == (told["id"], told["name"], json.loads(told["json"]))
    deltas = [e.delta for e in events if e.type == "content_block_delta"]
    assert [d.thinking for d in deltas if d.type == "thinking_delta"] == thoughts
    assert [d.text for d in deltas if d.type == "text_delta"] == words
    assert message.stop_reason == "tool_use"
    assert len({row["id"] for row in rows}) == 2
    assert message.id != json.loads(frames_of(again.body)[0])["message"]["id"]
    for row in rows:
        assert (row["status"], row["finish_normal"]) == ("completed", "tool_calls")
        assert row["tps_source"] == "timings", "what Claude Code could not learn of llama.cpp"
