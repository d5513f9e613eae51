"""Claude Code and OpenCode through a gateway: their turns go well, and each call has its right row."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from .agents import (
    ASK_TEXT,
    COMMAND,
    SAID,
    ask_command,
    check_claude_rows,
    check_opencode_rows,
    claude,
    claude_environment,
    opencode,
)
from .agreement import agreed_rows
from .programs import on_a_terminal, run
from .stand import stand

MODES = pytest.mark.parametrize("mode", ["comment", "chunk"])

pytestmark = [pytest.mark.asyncio, pytest.mark.timeout(120)]


# --- Claude Code ---------------------------------------------------------------------------------


@MODES
async def test_claude_code_answers_a_prompt(
    tmp_path: Path, real_program: Callable[[str], Path], mode: str
) -> None:
    program = real_program("claude")
    async with stand(tmp_path, flavour="anthropic", config={"metadata": mode}) as it:
        account = await claude(program, it, tmp_path, ASK_TEXT)
        rows = await agreed_rows(it, 1)
    assert account["result"] == SAID
    check_claude_rows(account, rows)


@MODES
async def test_claude_code_runs_a_command(
    tmp_path: Path, real_program: Callable[[str], Path], mode: str
) -> None:
    program = real_program("claude")
    async with stand(tmp_path, flavour="anthropic", config={"metadata": mode}) as it:
        account = await claude(program, it, tmp_path, ask_command("Bash"))
        rows = await agreed_rows(it, 2)
        last = it.simulator.requests[-1]
    assert (tmp_path / "work" / "proof.txt").read_text() == "proof-42\n"
    assert b"proof-42" in last.body, "the command's output went back"
    assert last.path == "/v1/messages?beta=true"
    assert [row["finish_reason"] for row in rows] == ["tool_use", "end_turn"]
    check_claude_rows(account, rows)


@MODES
async def test_claude_code_on_a_terminal_asks_for_a_title_beside_its_main_call(
    tmp_path: Path, real_program: Callable[[str], Path], mode: str
) -> None:
    program = real_program("claude")
    (work := tmp_path / "work").mkdir()
    async with stand(tmp_path, flavour="anthropic", config={"metadata": mode}) as it:
        environment = claude_environment(it, tmp_path / "home")
        known = {"hasTrustDialogAccepted": True, "hasCompletedProjectOnboarding": True}
        settings = {"hasCompletedOnboarding": True, "projects": {str(work): known}}
        (tmp_path / "home" / ".claude.json").write_text(json.dumps(settings))
        async with on_a_terminal(program, ASK_TEXT, environment=environment, cwd=work) as shown:
            async with asyncio.timeout(60):
                await it.simulator.until_ended(2)
            rows = await agreed_rows(it, 2)
            assert shown
    assert {row["requested_model"] for row in rows} == {"sim", "sim-small"}
    assert len({row["session_id"] for row in rows}) == 1
    assert rows[0]["session_id"]
    assert all(row["client_app"].startswith("claude-cli/") for row in rows)


async def test_claude_code_says_at_once_that_its_key_is_wrong(
    tmp_path: Path, real_program: Callable[[str], Path]
) -> None:
    program = real_program("claude")
    (work := tmp_path / "work").mkdir()
    async with stand(tmp_path, flavour="anthropic", config={"keys": {"required": True}}) as it:
        environment = claude_environment(it, tmp_path / "home")
        flags = ("-p", ASK_TEXT, "--output-format", "json")
        done = await run(program, *flags, environment=environment, cwd=work, seconds=45)
        rows = await it.rows()
    account = json.loads(done.out)
    assert (account["is_error"], account["api_error_status"]) == (True, 401)
    assert "not a whole key" in account["result"]
    assert rows == []


# What Claude Code asks before its first call: 2.1.197 the first, 2.1.330 the second.
@pytest.mark.parametrize(("path", "status"), [("/", 200), ("/api/hello", 404)])
async def test_the_probe_of_claude_code_leaves_the_connection_usable_and_no_row(
    tmp_path: Path, path: str, status: int
) -> None:
    body = {"model": "sim", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
    lines = [f"HEAD {path} HTTP/1.1", "Connection: keep-alive", "User-Agent: Bun/1.4.0"]
    probe = "\r\n".join([*lines, "Accept: */*", "Host: 127.0.0.1", "", ""])
    async with stand(tmp_path, flavour="anthropic") as it, it.client() as client:
        client.writer.write(probe.encode())
        told, _ = await client.head()
        await client.post("/v1/messages", body)
        answer = await client.answer()
        [row] = await it.rows()
    assert told == status
    assert answer.status == 200
    assert row["id"] == answer.id


# --- OpenCode ------------------------------------------------------------------------------------


@MODES
async def test_opencode_answers_a_prompt(
    tmp_path: Path, real_program: Callable[[str], Path], mode: str
) -> None:
    program = real_program("opencode")
    async with stand(tmp_path, flavour="openai", config={"metadata": mode}) as it:
        events = await opencode(program, it, tmp_path, ASK_TEXT)
        rows = await agreed_rows(it, 2)
    assert [e["part"]["text"] for e in events if e["type"] == "text"] == [SAID]
    check_opencode_rows(events, rows)


@MODES
async def test_opencode_runs_a_command(
    tmp_path: Path, real_program: Callable[[str], Path], mode: str
) -> None:
    program = real_program("opencode")
    async with stand(tmp_path, flavour="openai", config={"metadata": mode}) as it:
        events = await opencode(program, it, tmp_path, ask_command("bash"))
        rows = await agreed_rows(it, 3)
    assert (tmp_path / "work" / "proof.txt").read_text() == "proof-42\n"
    [used] = [e["part"]["state"] for e in events if e["type"] == "tool_use"]
    assert (used["input"], used["output"]) == (COMMAND, "proof-42\n")
    assert [e["part"]["reason"] for e in events if e["type"] == "step_finish"] == [
        "tool-calls",
        "stop",
    ]
    check_opencode_rows(events, rows)
