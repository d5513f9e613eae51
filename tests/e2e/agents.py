"""Claude Code and OpenCode in front of a gateway: one prompt each, and what they say of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .agreement import CLIENT_KEY
from .programs import Finished, lonely_environment, run
from .stand import Stand

__all__ = [
    "ASK_TEXT",
    "COMMAND",
    "SAID",
    "ask_command",
    "check_claude_rows",
    "check_opencode_rows",
    "claude",
    "claude_environment",
    "opencode",
]

SAID = "Grüße – 你好 from behind the gateway"
ASK_TEXT = f'please say it\nsim: {{"text": "{SAID}"}}'
COMMAND = {"command": "echo proof-$((40+2)) | tee proof.txt", "description": "Proves it"}
_NPM = {"openai": "@ai-sdk/openai-compatible", "anthropic": "@ai-sdk/anthropic"}
_ENDPOINTS = {"openai": "chat/completions", "anthropic": "messages"}


def ask_command(tool: str) -> str:
    """Return a prompt that makes the simulator call the client's shell tool."""
    return f"please run it\nsim-tool: {tool} {json.dumps(COMMAND)}"


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


async def opencode(
    program: Path, it: Stand, folder: Path, prompt: str, dialect: str = "openai"
) -> list[dict[str, Any]]:
    """Run one prompt in `dialect` and return the events that OpenCode prints of it."""
    limit = {"context": 200_000, "output": 4096}
    provider = {
        "npm": _NPM[dialect],
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


def check_opencode_rows(
    events: list[dict[str, Any]], rows: list[dict[str, Any]], dialect: str = "openai"
) -> None:
    """Check the rows against OpenCode's own account; the title call is beside the main calls."""
    [session] = {event["sessionID"] for event in events}
    for row in rows:
        assert row["session_id"] == session
        assert row["client_app"].startswith("opencode/")
        assert (row["dialect"], row["endpoint"]) == (dialect, _ENDPOINTS[dialect])
    main = [row for row in rows if row["requested_model"] == "sim"]
    assert [row["requested_model"] for row in rows if row not in main] == ["sim-small"]
    read = [e["part"]["tokens"] for e in events if e["type"] == "step_finish"]
    booked = [(row["input_tokens"], row["output_tokens"]) for row in main]
    assert [(tokens["input"], tokens["output"]) for tokens in read] == booked
