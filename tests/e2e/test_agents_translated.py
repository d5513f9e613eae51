"""Claude Code and OpenCode on models of other dialects: a tool turn each, and no call more than that."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from .agents import (
    COMMAND,
    ask_command,
    check_claude_rows,
    check_opencode_rows,
    claude,
    opencode,
)
from .agreement import agreed_rows
from .stand import stand

_COUNT = "/v1/messages/count_tokens"

pytestmark = [pytest.mark.asyncio, pytest.mark.timeout(120)]


@pytest.mark.parametrize(
    ("kind", "path", "finishes"),
    [
        ("openai", "/v1/chat/completions", ["tool_calls", "stop"]),
        ("llamacpp", "/v1/chat/completions", ["tool_calls", "stop"]),
        ("ollama", "/api/chat", ["stop", "stop"]),
        ("anthropic", "/v1/messages?beta=true", ["tool_use", "end_turn"]),
    ],
)
async def test_claude_code_runs_a_command_on_any_model(
    tmp_path: Path, real_program: Callable[[str], Path], kind: str, path: str, finishes: list[str]
) -> None:
    program = real_program("claude")
    async with stand(tmp_path, flavour=kind, kind=kind) as it:
        account = await claude(program, it, tmp_path, ask_command("Bash"))
        rows = await agreed_rows(it, 2)
        last = [r for r in it.simulator.requests if r.header("idempotency-key")][-1]
    assert (tmp_path / "work" / "proof.txt").read_text() == "proof-42\n"
    assert "proof-42" in account["result"], "the model tells what the command gave"
    assert b"proof-42" in last.body, "the command's output went back"
    assert last.path == path
    assert [row["finish_reason"] for row in rows] == finishes
    check_claude_rows(account, rows)


@pytest.mark.parametrize("kind", ["llamacpp", "ollama", "openrouter"])
async def test_claude_code_takes_thoughts_along(
    tmp_path: Path, real_program: Callable[[str], Path], kind: str
) -> None:
    program = real_program("claude")
    prompt = 'sim: {"reasoning": "first this, then that", "text": "I run it."}\n'
    async with stand(tmp_path, flavour=kind, kind=kind) as it:
        account = await claude(program, it, tmp_path, prompt + ask_command("Bash"))
        rows = await agreed_rows(it, 2)
        last = [r for r in it.simulator.requests if r.header("idempotency-key")][-1]
    assert (tmp_path / "work" / "proof.txt").read_text() == "proof-42\n"
    assert b"first this, then that" in last.body, "its thoughts went back to the model"
    assert b"I run it." in last.body
    check_claude_rows(account, rows)


@pytest.mark.parametrize(
    ("kind", "dialect", "path"),
    [
        ("anthropic", "openai", "/v1/messages"),
        ("ollama", "anthropic", "/api/chat"),
        ("openai", "anthropic", "/v1/chat/completions"),
        ("anthropic", "anthropic", "/v1/messages"),
    ],
)
async def test_opencode_runs_a_command_on_any_model(
    tmp_path: Path, real_program: Callable[[str], Path], kind: str, dialect: str, path: str
) -> None:
    program = real_program("opencode")
    async with stand(tmp_path, flavour=kind, kind=kind) as it:
        events = await opencode(program, it, tmp_path, ask_command("bash"), dialect)
        rows = await agreed_rows(it, 3)
        paths = {
            r.path for r in it.simulator.requests if r.method == "POST" and b"messages" in r.body
        }
    assert (tmp_path / "work" / "proof.txt").read_text() == "proof-42\n"
    [used] = [e["part"]["state"] for e in events if e["type"] == "tool_use"]
    assert (used["input"], used["output"]) == (COMMAND, "proof-42\n")
    reasons = [e["part"]["reason"] for e in events if e["type"] == "step_finish"]
    assert reasons == ["tool-calls", "stop"]
    assert "proof-42" in "".join(e["part"]["text"] for e in events if e["type"] == "text")
    assert paths == {path}
    check_opencode_rows(events, rows, dialect)


@pytest.mark.parametrize(
    ("kind", "counts"), [("openai", set()), ("ollama", set()), ("llamacpp", {_COUNT})]
)
async def test_claude_code_counts_its_context_without_a_model_call(
    tmp_path: Path, real_program: Callable[[str], Path], kind: str, counts: set[str]
) -> None:
    program = real_program("claude")
    async with stand(tmp_path, flavour=kind, kind=kind) as it:
        account = await claude(program, it, tmp_path, "/context")
        rows = await it.rows()
        asked = {r.bare_path for r in it.simulator.requests if r.method == "POST"}
    assert "Context Usage" in account["result"]
    assert rows == []
    assert asked - {"/api/show"} == counts
