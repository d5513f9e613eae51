"""A request that repeats a failed one is a row of its own that names the failed one (SPEC §11.6)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest

from streamgauge.core.keys import Caller

from .agents import claude_environment
from .programs import run
from .session_clients import CHAT, MESSAGES, begin, finish, talk
from .stand import stand
from .test_keys import bearer
from .test_keys_inside import knowing

pytestmark = pytest.mark.asyncio


def failing(path: str = CHAT, fault: str = "cut", **more: Any) -> dict[str, Any]:
    """Return a request whose stream fails after two frames."""
    body = talk("w", 20, 0, **more)
    body["sim"] |= {"fault": fault, "after": 2}
    return body


@pytest.mark.parametrize("path", [CHAT, MESSAGES])
async def test_a_repeat_names_the_exchange_that_failed(path: str, tmp_path: Path) -> None:
    async with stand(tmp_path) as it:
        failed = await it.ask(path, failing(), x_session_id="s")
        again = await it.ask(path, failing(stream=False), x_session_id="s")
        third = await it.ask(path, failing(), x_session_id="s")
        other = await it.ask(path, failing(), x_session_id="t")
        rows = [await it.row(each.id) for each in (failed, again, third, other)]
    assert [row["repeats"] for row in rows] == [None, failed.id, again.id, None]
    assert [row["success"] for row in rows] == [False] * 4


async def test_what_went_well_or_was_ended_by_wish_is_not_repeated(tmp_path: Path) -> None:
    body = talk("w", 3, 0)
    async with stand(tmp_path) as it, it.client() as client:
        stream = await begin(client, CHAT, talk("w"))
        await it.ask(f"/v1/streams/{stream.id}/stop", {})
        await finish(stream)
        answers = [await it.ask(CHAT, each) for each in (talk("w", 3), body, body)]
        rows = [await it.row(answer.id) for answer in answers]
    assert [row["repeats"] for row in rows] == [None] * 3


async def test_another_keys_failure_is_nobody_elses(tmp_path: Path) -> None:
    async with stand(tmp_path) as it:
        ann, bob = await knowing(it, Caller("", "ann"), Caller("", "bob"))
        answers = [await it.ask(CHAT, failing(), **bearer(key.text)) for key in (ann, bob, ann)]
        rows = [await it.row(answer.id) for answer in answers]
    assert [row["repeats"] for row in rows] == [None, None, answers[0].id]


async def test_the_vendors_libraries_repeats_are_linked(tmp_path: Path) -> None:
    """Each of their tries is a request of its own; no session names them."""
    async with stand(tmp_path, prefix="/fault/http_503") as it:
        clients: list[Any] = [
            openai.AsyncOpenAI(base_url=f"{it.url}/v1", api_key="sk-none", max_retries=1),
            anthropic.AsyncAnthropic(base_url=it.url, api_key="sk-none", max_retries=1),
        ]
        hello: list[Any] = [{"role": "user", "content": "hi"}]
        for client in clients:
            calls = client.chat.completions if hasattr(client, "chat") else client.messages
            with pytest.raises((openai.APIStatusError, anthropic.APIStatusError)):
                await calls.create(model="sim", max_tokens=9, messages=hello)
            await client.close()
        rows = sorted(await it.rows(), key=lambda row: row["started_at"])
    assert [row["status"] for row in rows] == ["upstream_error"] * 4
    assert [row["repeats"] for row in rows] == [None, rows[0]["id"], None, rows[2]["id"]]


@pytest.mark.timeout(120)
async def test_claude_codes_call_without_a_stream_names_the_stream_that_failed(
    tmp_path: Path, real_program: Callable[[str], Path]
) -> None:
    program = real_program("claude")
    (work := tmp_path / "work").mkdir()
    async with stand(tmp_path, flavour="anthropic") as it:
        environment = claude_environment(it, tmp_path / "home")
        environment |= {
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "CLAUDE_CODE_MAX_RETRIES": "0",
        }
        prompt = 'please say it\nsim: {"tokens": 5, "fault": "cut", "after": 2}'
        flags = ("-p", prompt, "--output-format", "json")
        await run(program, *flags, environment=environment, cwd=work)
        rows = sorted(await it.rows(), key=lambda row: row["started_at"])
    failed, again = rows[:2]
    assert (failed["streaming"], failed["success"], failed["repeats"]) == (True, False, None)
    assert (again["streaming"], again["repeats"]) == (False, failed["id"])
    assert again["session_id"] == failed["session_id"]
