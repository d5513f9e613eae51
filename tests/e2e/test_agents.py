"""Claude Code and OpenCode through a gateway: their turns go well, and each call has its right row."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .agreement import CLIENT_KEY, agreed_rows
from .programs import Finished, lonely_environment, on_a_terminal, run
from .stand import Stand, stand

SAID = "Grüße – 你好 from behind the gateway"
ASK_TEXT = f'please say it\nsim: {{"text": "{SAID}"}}'
COMMAND = {"command": "echo proof-$((40+2)) | tee proof.txt", "description": "Proves it"}
MODES = pytest.mark.parametrize("mode", ["comment", "chunk"])

pytestmark = [pytest.mark.asyncio, pytest.mark.timeout(120)]


def ask_command(tool: str) -> str:
    """Return a prompt that makes the simulator call the client's shell tool."""
    return f"please run it\nsim-tool: {tool} {json.dumps(COMMAND)}"


# --- Claude Code ---------------------------------------------------------------------------------


def claude_environment(it: Stand, home: Path) -> dict[str, str]:
    """Return what points Claude Code at the gateway."""
    return lonely_environment(
        home,
        ANTHROPIC_BASE_URL=it.url,
        ANTHROPIC_AUTH_TOKEN=CLIENT_KEY,
        ANTHROPIC_MODEL="sim",
        ANTHROPIC_DEFAULT_HAIKU_MODEL="sim-small",
        DISABLE_AUTOUPDATER="1",
        DISABLE_TELEMETRY="1",
        DISABLE_ERROR_REPORTING="1",
        CLAUDE_CODE_DISABLE_OFFICIAL_MARKETPLACE_AUTOINSTALL="1",
    )


async def claude(program: Path, it: Stand, folder: Path, prompt: str) -> dict[str, Any]:
    """Run one prompt in print mode and return Claude Code's own account of it."""
    (work := folder / "work").mkdir()
    environment = claude_environment(it, folder / "home")
    environment["CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC"] = "1"
    flags = ("-p", prompt, "--output-format", "json", "--allowedTools", "Bash")
    done = await run(program, *flags, environment=environment, cwd=work)
    assert done.code == 0, done
    account: dict[str, Any] = json.loads(done.out)
    assert account["is_error"] is False
    return account


def check_claude_rows(account: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    """Check the rows of a print-mode run against Claude Code's account."""
    for row in rows:
        assert row["session_id"] == account["session_id"]
        assert row["client_app"].startswith("claude-cli/")
        assert (row["dialect"], row["endpoint"]) == ("anthropic", "messages")
    used = account["modelUsage"]["sim"]
    assert used["inputTokens"] == sum(row["input_tokens"] for row in rows)
    assert used["outputTokens"] == sum(row["output_tokens"] for row in rows)


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


async def opencode(program: Path, it: Stand, folder: Path, prompt: str) -> list[dict[str, Any]]:
    """Run one prompt and return the events that OpenCode prints of it."""
    limit = {"context": 200_000, "output": 4096}
    provider = {
        "npm": "@ai-sdk/openai-compatible",
        "options": {"baseURL": f"{it.url}/v1", "apiKey": CLIENT_KEY},
        "models": {"sim": {"tool_call": True, "limit": limit}, "sim-small": {"limit": limit}},
    }
    config = {
        "provider": {"gauge": provider},
        "model": "gauge/sim",
        "small_model": "gauge/sim-small",
        "permission": "allow",
        "autoupdate": False,
        "share": "disabled",
    }
    environment = lonely_environment(
        folder / "home",
        OPENCODE_CONFIG_CONTENT=json.dumps(config),
        OPENCODE_PURE="1",
        OPENCODE_DISABLE_AUTOUPDATE="1",
        OPENCODE_DISABLE_MODELS_FETCH="1",
        OPENCODE_DISABLE_LSP_DOWNLOAD="1",
        OPENCODE_DISABLE_DEFAULT_PLUGINS="1",
    )
    (work := folder / "work").mkdir()
    # On its input, not as an argument: OpenCode would put that in quotes.
    flags = ("run", "--format", "json")
    done: Finished = await run(program, *flags, environment=environment, cwd=work, text=prompt)
    assert done.code == 0, done
    return [json.loads(line) for line in done.out.splitlines()]


def check_opencode_rows(events: list[dict[str, Any]], rows: list[dict[str, Any]]) -> None:
    """Check the rows against OpenCode's own account; the title call is beside the main calls."""
    [session] = {event["sessionID"] for event in events}
    for row in rows:
        assert row["session_id"] == session
        assert row["client_app"].startswith("opencode/")
        assert (row["dialect"], row["endpoint"]) == ("openai", "chat/completions")
    main = [row for row in rows if row["requested_model"] == "sim"]
    assert [row["requested_model"] for row in rows if row not in main] == ["sim-small"]
    read = [e["part"]["tokens"] for e in events if e["type"] == "step_finish"]
    booked = [(row["input_tokens"], row["output_tokens"]) for row in main]
    assert [(tokens["input"], tokens["output"]) for tokens in read] == booked


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
