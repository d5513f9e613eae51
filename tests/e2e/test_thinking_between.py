"""One conversation with models of two dialects: the thoughts of the one do not stop the other."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest

from .fallback import started
from .sdk_calls import anthropic_client
from .stand import stand

pytestmark = [pytest.mark.asyncio]
_TOOL = {"name": "look", "input_schema": {"type": "object", "properties": {}}}
_ASK = 'sim: {"reasoning": "let me see"}\nsim-tool: look {}'
_THINK = {"type": "enabled", "budget_tokens": 1024}


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


async def test_claude_goes_on_where_a_local_model_had_thought(tmp_path: Path) -> None:
    async with contextlib.AsyncExitStack() as stack:
        local = await stack.enter_async_context(started())
        other = {"name": "local", "kind": "llamacpp", "base_url": local.url}
        it = await stack.enter_async_context(
            stand(tmp_path, flavour="anthropic", kind="anthropic", also=[other])
        )
        client = await stack.enter_async_context(anthropic_client(it))

        async def say(model: str, turns: list[Any]) -> Any:
            asked: dict[str, Any] = {"tools": [_TOOL], "thinking": _THINK, "max_tokens": 2000}
            async with client.messages.stream(model=model, messages=turns, **asked) as stream:
                return (await stream.get_final_message()).content

        turns: list[Any] = [{"role": "user", "content": _ASK}]
        for model in ("sim/m", "local/m", "sim/m", "local/m", "sim/m"):
            blocks = [block.model_dump(exclude_none=True) for block in await say(model, turns)]
            turns.append({"role": "assistant", "content": blocks})
            results = [
                {"type": "tool_result", "tool_use_id": b["id"], "content": "seen"}
                for b in blocks
                if b["type"] == "tool_use"
            ]
            turns.append({"role": "user", "content": results or "look again"})
        rows = await it.rows()
    assert [(row["status"], row["attempts"]) for row in reversed(rows)] == [
        ("completed", 1),
        ("completed", 1),
        ("completed", 2),
        ("completed", 1),
        ("completed", 1),
    ], "the first refusal is remembered"
