"""What Claude Code and OpenCode were seen to send, replayed to every upstream: answers, rows, losses."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from .matrix import UPSTREAMS
from .pairing import Pair, paired
from .recorded import RECORDED, Recorded

pytestmark = [pytest.mark.asyncio(loop_scope="module")]

_TITLE, _MAIN, _RESULT = "Claude Code's title", "Claude Code's turn", "Claude Code's tool result"
_CODE, _CODE_CHAT, _CODE_RESULT = "OpenCode", "OpenCode by OpenAI", "OpenCode's tool result"
_KIND = {
    "claude_code_interactive-2": _TITLE,
    "claude_code_interactive-17": _TITLE,
    "claude_code_tool_turn-3": _RESULT,
    "opencode_anthropic-1": _CODE,
    "opencode_anthropic-2": _CODE,
    # Its call's argument text is filler in the recording, and no JSON.
    "opencode_openai_tool_turn-3": _CODE_RESULT,
}
_CACHE, _CONTEXT, _REASONING = "cache_control", "context_management", "reasoning"
_MARKS = {_MAIN: [_CONTEXT, _CACHE], _RESULT: [_CONTEXT, _CACHE], _CODE: [_CACHE]}
_UNTHINKING = {
    _TITLE: [_REASONING],
    _MAIN: [_CONTEXT, _CACHE, _REASONING],
    _RESULT: [_CONTEXT, _CACHE, _REASONING],
    _CODE: [_CACHE],
}
LOST = {
    "openai": _UNTHINKING,
    "llamacpp": _MARKS,
    "vllm": _MARKS,
    "openrouter": {_MAIN: [_CONTEXT], _RESULT: [_CONTEXT, _CACHE]},
    "anthropic": {_CODE_RESULT: ["tool_arguments"]},
    "ollama": _UNTHINKING,
}
"""All that a translation loses of these requests: what is not here is lost nowhere."""
COUNTING = frozenset({"anthropic", "llamacpp", "vllm"})


@pytest_asyncio.fixture(loop_scope="module", scope="module", params=UPSTREAMS)
async def pair(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Pair]:
    async with paired(request.param, tmp_path_factory.mktemp("recorded")) as built:
        yield built


def _kind(sent: Recorded) -> str:
    return _KIND.get(sent.name, _CODE_CHAT if sent.dialect == "openai" else _MAIN)


@pytest.mark.parametrize("sent", [r for r in RECORDED if not r.counts], ids=lambda r: r.name)
async def test_a_recorded_request_is_served_by_every_upstream(pair: Pair, sent: Recorded) -> None:
    answer = await pair.it.ask(sent.path, sent.body, **sent.as_keywords())
    row, entry = await pair.books(answer.id)
    assert answer.status == 200
    assert answer.clean
    assert (row["status"], row["success"], row["delivered"]) == ("completed", True, "all")
    assert (row["dialect"], row["requested_model"]) == (sent.dialect, sent.body["model"])
    assert (row["input_tokens"], row["output_tokens"]) == (
        entry.prompt_tokens,
        entry.completion_tokens,
    )
    assert row["usage_source"] == "provider"
    assert row["anomalies"] == []
    assert row["session_id"]
    assert row["client_app"].startswith(("claude-cli/", "opencode/"))
    lost = answer.headers.get("x-streamgauge-lossy", "")
    assert [name for name in lost.split(", ") if name] == LOST[pair.upstream].get(_kind(sent), [])


async def test_recorded_counts_are_answered_without_a_model_call(pair: Pair) -> None:
    calls, records = len(pair.it.simulator.begun), len(pair.it.notes.records)
    counts = [sent for sent in RECORDED if sent.counts]
    for sent in counts:
        answer = await pair.it.ask(sent.path, sent.body, **sent.as_keywords())
        assert answer.status == 200
        assert answer.json()["input_tokens"] > 0
        estimated = answer.headers.get("x-streamgauge-count") == "estimated"
        assert estimated is (pair.upstream not in COUNTING)
    assert len(counts) == 13
    assert len(pair.it.simulator.begun) == calls
    assert len(pair.it.notes.records) == records
