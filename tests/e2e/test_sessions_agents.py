"""Claude Code and OpenCode in `session` mode: the title call beside the main call, and both live."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from .agents import SAID, ask_command, claude_environment, opencode
from .agreement import agreed_rows
from .programs import on_a_terminal
from .session_clients import SESSION_MODE
from .stand import stand

pytestmark = [pytest.mark.asyncio, pytest.mark.timeout(120)]

SLOWLY = f'please say it\nsim: {{"text": "{SAID}", "gap_ms": 100}}'
"""Slowly enough that the two calls are in progress at the same time."""


@pytest.mark.parametrize("header", [None, "x-session-id: one"])
async def test_claude_codes_title_call_and_its_main_call_both_live(
    tmp_path: Path, real_program: Callable[[str], Path], header: str | None
) -> None:
    """Its own session header supersedes nothing; with one that does, the tools tell the calls apart."""
    program = real_program("claude")
    (work := tmp_path / "work").mkdir()
    async with stand(tmp_path, flavour="anthropic", config=SESSION_MODE) as it:
        environment = claude_environment(it, tmp_path / "home")
        if header is not None:
            environment["ANTHROPIC_CUSTOM_HEADERS"] = header
        known = {"hasTrustDialogAccepted": True, "hasCompletedProjectOnboarding": True}
        settings = {"hasCompletedOnboarding": True, "projects": {str(work): known}}
        (tmp_path / "home" / ".claude.json").write_text(json.dumps(settings))
        async with on_a_terminal(program, SLOWLY, environment=environment, cwd=work):
            async with asyncio.timeout(60):
                await it.simulator.until_ended(2)
            rows = await agreed_rows(it, 2)
    assert {row["requested_model"] for row in rows} == {"sim", "sim-small"}
    assert len({row["session_id"] for row in rows}) == 1
    spans = sorted((row["started_at"], row["finished_at"]) for row in rows)
    assert spans[1][0] < spans[0][1], "they were in progress at the same time"


@pytest.mark.parametrize("prompt", [SLOWLY, ask_command("bash")], ids=["text", "tool"])
async def test_opencodes_title_call_and_its_main_calls_all_live(
    tmp_path: Path, real_program: Callable[[str], Path], prompt: str
) -> None:
    """It sends `x-session-id` with all of them."""
    program = real_program("opencode")
    count = 2 if prompt is SLOWLY else 3
    async with stand(tmp_path, flavour="openai", config=SESSION_MODE) as it:
        events = await opencode(program, it, tmp_path, prompt)
        rows = await agreed_rows(it, count)
        named = [call.header("x-session-id") for call in it.simulator.requests]
    assert events
    assert {row["status"] for row in rows} == {"completed"}
    assert len({row["session_id"] for row in rows}) == 1
    assert not any(named), "it is ours to use, not the upstream's"
