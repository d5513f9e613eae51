"""The official SDKs while the first upstream fails: their user sees one normal answer."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from .fallback import pair
from .fallback_failures import FAILURES
from .fallback_ways import DIALECTS, SAID, Way
from .sdk_calls import chat_chunks, message_events, whole
from .stand import Stand

pytestmark = [pytest.mark.asyncio]
SEEN = (
    "refuses",
    "hangs before the head",
    "429",
    "503",
    "HTML",
    "closes before the head",
    "an error frame first",
    "cut behind the role",
    "cut behind a ping",
)
SEEN_WHOLE = ("does not accept", "429", "HTML", "half a body")
MODELS = sorted({way.model for way in Way.all()})


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


async def completion(it: Stand, model: str, stream: bool) -> tuple[str, str]:
    """Return the text of a chat completion and why it ended."""
    if not stream:
        [choice] = (await whole(it, "openai", "async", model=model)).choices
        return choice.message.content, choice.finish_reason
    chunks: list[Any] = await chat_chunks(it, model=model)
    assert len({chunk.id for chunk in chunks}) == 1, "one answer has one id"
    said = [chunk.choices[0] for chunk in chunks if chunk.choices]
    assert [choice.delta.role for choice in said].count("assistant") == 1
    return "".join(choice.delta.content or "" for choice in said), said[-1].finish_reason


async def message(it: Stand, model: str, stream: bool) -> tuple[str, str]:
    """Return the text of a message and why it ended."""
    if not stream:
        made = await whole(it, "anthropic", "async", model=model, max_tokens=500)
        return "".join(block.text for block in made.content), made.stop_reason
    events, made = await message_events(it, model=model)
    assert [event.type for event in events].count("message_start") == 1
    return "".join(block.text for block in made.content), made.stop_reason


@pytest.mark.parametrize(
    ("name", "stream"), [*((n, True) for n in SEEN), *((n, False) for n in SEEN_WHOLE)]
)
async def test_the_user_of_an_sdk_sees_one_normal_answer(
    name: str, stream: bool, tmp_path: Path
) -> None:
    async with pair(tmp_path, FAILURES[name]) as to:
        chats = await asyncio.gather(*(completion(to.it, model, stream) for model in MODELS))
        messages = await asyncio.gather(*(message(to.it, model, stream) for model in MODELS))
        rows = await to.it.rows()
    assert chats == [(SAID, "stop")] * len(MODELS)
    assert messages == [(SAID, "end_turn")] * len(MODELS)
    assert {(row["status"], row["attempts"]) for row in rows} == {("completed", 2)}
    assert len(to.second.journal) == len(rows) == 2 * len(MODELS)
    assert {row["dialect"] for row in rows} == set(DIALECTS)
