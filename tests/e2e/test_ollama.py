"""A gateway in front of an Ollama: what it learns of it, and its own chat as clients see it."""

from __future__ import annotations

import json
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest

from streamgauge.tools.simulator.pages import CONTEXT

from .stand import DATA, Stand, frames_of, stand

pytestmark = pytest.mark.asyncio
MESSAGES = "/v1/messages"


def asking(**sim: Any) -> list[dict[str, Any]]:
    """Return messages whose text asks: keys of our own do not survive a translation."""
    return [{"role": "user", "content": f"one two\nsim: {json.dumps(sim)}"}]


def request(stream: bool = True, **sim: Any) -> dict[str, Any]:
    return {"model": "sim", "max_tokens": 99, "stream": stream, "messages": asking(**sim)}


async def learnt(it: Stand, model: str | None = None) -> None:
    """Let the gateway ask again at once."""
    runtime = it.gateway.upstreams["sim"]
    runtime.learnt.asked.clear()
    it.gateway.discovery.refresh(runtime, model)
    await it.gateway.discovery.settle()


async def test_models_and_context_are_learnt_from_its_own_pages(tmp_path: Path) -> None:
    async with stand(tmp_path, flavour="ollama", kind="ollama") as it:
        discovery, runtime = it.gateway.discovery, it.gateway.upstreams["sim"]
        assert discovery.models_of(runtime) == ("sim:latest",)
        assert discovery.context_of(runtime, "sim") is None
        await learnt(it, "sim")
        made_for = discovery.context_of(runtime, "sim")
        assert made_for is not None
        assert made_for > CONTEXT, "not loaded: the length that it was made for"
        await it.ask("/v1/chat/completions", request(tokens=1))
        await learnt(it, "sim")
        assert discovery.context_of(runtime, "sim") == CONTEXT, "loaded: what it runs with"
        await learnt(it, "other")
        assert discovery.context_of(runtime, "other") is None
        answer = await it.ask("/v1/chat/completions", request(tokens=4))
        row = await it.row(answer.id)
        models = (await it.get("/v1/models")).json()
        asked = [seen.path for seen in it.simulator.requests]
    assert row["context_total"] == CONTEXT
    assert [model["id"] for model in models["data"]] == ["sim:latest"]
    assert "/props" not in asked, "no page is asked for that it does not have"


async def test_its_own_chat_is_translated_and_metered_with_its_times(tmp_path: Path) -> None:
    async with stand(tmp_path, flavour="ollama", kind="ollama") as it:
        streamed = await it.ask(MESSAGES, request(reasoning=2, tokens=3))
        whole = await it.ask(MESSAGES, request(stream=False, reasoning=2, tokens=3))
        rows = [await it.row(answer.id) for answer in (streamed, whole)]
        journal = it.simulator.journal
    assert [entry.path for entry in journal] == ["/api/chat", "/api/chat"]
    events = [json.loads(frame) for frame in frames_of(streamed.body)]
    deltas = [event["delta"] for event in events if event["type"] == "content_block_delta"]
    assert "".join(delta.get("thinking", "") for delta in deltas) == "r0 r1"
    assert "".join(delta.get("text", "") for delta in deltas) == "w0 w1 w2"
    assert [block["type"] for block in whole.json()["content"]] == ["thinking", "text"]
    for row, entry in zip(rows, journal, strict=True):
        assert (row["status"], row["usage_source"]) == ("completed", "provider")
        assert row["input_tokens"] == entry.prompt_tokens
        assert row["output_tokens"] == entry.completion_tokens == 5
        assert (row["tps_source"], row["generation_tps"]) == ("timings", 2000.0)
        assert not row["anomalies"]


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        ("error_first", "upstream_error"),
        ("error_mid", "upstream_error"),
        ("cut", "stream_incomplete"),
    ],
)
async def test_a_failure_of_its_chat_is_told_in_the_client_s_dialect(
    tmp_path: Path, fault: str, status: str
) -> None:
    async with stand(tmp_path, flavour="ollama", kind="ollama") as it:
        answer = await it.ask(MESSAGES, request(fault=fault))
        row = await it.row(answer.id)
    assert row["status"] == status
    told = json.loads(frames_of(answer.body)[-1]) if answer.status == 200 else answer.json()
    assert told["type"] == "error"


async def test_a_tool_turn_goes_round_with_ids_that_match(tmp_path: Path) -> None:
    tool = {"name": "look", "description": "x", "input_schema": {"type": "object"}}
    ask = asking(tool=[{"name": "look", "arguments": {"at": 1}}, {"name": "look"}])
    body = {"model": "sim", "max_tokens": 99, "tools": [tool]}
    async with stand(tmp_path, flavour="ollama", kind="ollama") as it:
        first = (await it.ask(MESSAGES, body | {"messages": ask})).json()
        uses = [block for block in first["content"] if block["type"] == "tool_use"]
        results = [
            {"type": "tool_result", "tool_use_id": use["id"], "content": f"saw {number}"}
            for number, use in enumerate(uses)
        ]
        turns = [
            *ask,
            {"role": "assistant", "content": first["content"]},
            {"role": "user", "content": results},
        ]
        second = (await it.ask(MESSAGES, body | {"messages": turns})).json()
    assert first["stop_reason"] == "tool_use"
    assert [use["input"] for use in uses] == [{"at": 1}, {}]
    assert len({use["id"] for use in uses}) == 2
    assert [b["text"] for b in second["content"]] == ["look said: saw 0\nlook said: saw 1"]
    assert second["stop_reason"] == "end_turn"


async def test_an_image_and_a_stop_reason_come_through_its_own_chat(tmp_path: Path) -> None:
    picture = b"\x89PNG picture"
    source = {"type": "base64", "media_type": "image/png", "data": b64encode(picture).decode()}
    turn = {"role": "user", "content": [{"type": "image", "source": source}]}
    body = {"model": "sim", "max_tokens": 4, "messages": [turn]}
    async with stand(tmp_path, flavour="ollama", kind="ollama") as it:
        answer = (await it.ask(MESSAGES, body)).json()
        cut = (await it.ask(MESSAGES, request(stream=False, tokens=200))).json()
    assert answer["content"][0]["text"] == "image 1: 12 bytes"
    assert (answer["stop_reason"], cut["stop_reason"]) == ("max_tokens", "max_tokens")


@pytest.mark.parametrize(
    "name", ["claude_code_print", "claude_code_tool_turn", "opencode_anthropic"]
)
async def test_recorded_requests_of_agents_are_taken_by_its_own_chat(
    tmp_path: Path, name: str
) -> None:
    lines = (DATA / "recorded" / f"{name}.jsonl").read_text().splitlines()
    recorded = [json.loads(line) for line in lines]
    bodies = [
        r["body"] for r in recorded if isinstance(r.get("body"), dict) and "messages" in r["body"]
    ]
    async with stand(tmp_path, flavour="ollama", kind="ollama") as it:
        answers = [await it.ask(MESSAGES, {**body, "stream": False}) for body in bodies]
        entries = list(it.simulator.journal)
    assert bodies
    assert [answer.status for answer in answers] == [200] * len(bodies)
    assert {entry.path for entry in entries} == {"/api/chat"}
    assert all(answer.json()["stop_reason"] == "end_turn" for answer in answers)
