"""The usage frame we ask for and the client did not: asked, hidden, refused once (SPEC §3.1, §3.2)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from .stand import frames_of, stand

BODY = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "hi"}]}


def _usage_frames(body: bytes) -> list[Any]:
    loaded = [json.loads(payload) for payload in frames_of(body) if payload.strip() != b"[DONE]"]
    return [frame for frame in loaded if frame["choices"] == [] and frame.get("usage")]


def _sent_bodies(it: Any) -> list[Any]:
    posts = (seen for seen in it.simulator.requests if seen.method == "POST")
    return [json.loads(seen.body) for seen in posts]


@pytest.mark.parametrize("flavour", ["llamacpp", "vllm", "openai", "openrouter"])
@pytest.mark.asyncio
async def test_who_did_not_ask_gets_none_and_who_asked_gets_one(
    flavour: str, tmp_path: Path
) -> None:
    async with stand(tmp_path, flavour=flavour) as it:
        silent = await it.ask("/v1/chat/completions", BODY)
        asked = {**BODY, "stream_options": {"include_usage": True}}
        loud = await it.ask("/v1/chat/completions", asked)
        rows = [await it.row(answer.id) for answer in (silent, loud)]
        sent = _sent_bodies(it)
    assert (len(_usage_frames(silent.body)), len(_usage_frames(loud.body))) == (0, 1)
    assert [row["usage_source"] for row in rows] == ["provider", "provider"]
    assert [row["output_tokens"] for row in rows] == [16, 16]
    assert sent[0] == {"stream_options": {"include_usage": True}, **BODY}
    assert sent[1] == asked


@pytest.mark.asyncio
async def test_an_explicit_no_is_respected_unless_forced(tmp_path: Path) -> None:
    refused = {**BODY, "stream_options": {"include_usage": False}}
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    async with stand(tmp_path / "a") as it:
        await it.ask("/v1/chat/completions", refused)
        assert _sent_bodies(it) == [refused]
    async with stand(tmp_path / "b", inject_usage="force") as it:
        answer = await it.ask("/v1/chat/completions", refused)
        assert _sent_bodies(it)[0]["stream_options"] == {"include_usage": True}
        assert _usage_frames(answer.body) == []


@pytest.mark.asyncio
async def test_an_upstream_that_refuses_the_option_is_asked_once_without_and_never_again_with(
    tmp_path: Path,
) -> None:
    async with stand(tmp_path, flavour="openai", prefix="/fault/refuse_usage_option") as it:
        first = await it.ask("/v1/chat/completions", BODY)
        second = await it.ask("/v1/chat/completions", BODY)
        rows = [await it.row(answer.id) for answer in (first, second)]
        sent = _sent_bodies(it)
        tries = [len(await it.attempts(answer.id)) for answer in (first, second)]
    assert [answer.status for answer in (first, second)] == [200, 200]
    assert [("stream_options" in body) for body in sent] == [True, False, False]
    assert tries == [2, 1]
    assert [row["status"] for row in rows] == ["completed", "completed"]
    assert first.headers["x-streamgauge-attempts"] == "2/sim"


@pytest.mark.asyncio
async def test_running_usage_keeps_a_cut_stream_exact(tmp_path: Path) -> None:
    body = {**BODY, "sim": {"tokens": 20, "fault": "cut", "after": 7}}
    async with stand(tmp_path, kind="llamacpp", running_usage=True) as it:
        answer = await it.ask("/v1/chat/completions", body)
        row = await it.row(answer.id)
    assert (row["status"], row["usage_source"]) == ("stream_incomplete", "running")
    assert row["output_tokens"] == 7
