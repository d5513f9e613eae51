"""`streamgauge exec`: real clients, told nothing else, come to the gateway with their calls."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from .agreement import agreed_rows
from .process import SOURCES
from .programs import Finished, lonely_environment, run
from .stand import Stand, stand

SAID = "pointed here by exec"
ASK_TEXT = f'please say it\nsim: {{"text": "{SAID}"}}'

pytestmark = [pytest.mark.asyncio, pytest.mark.timeout(120)]


async def through_exec(
    it: Stand, folder: Path, *command: str | Path, text: str = "", **more: str
) -> Finished:
    (work := folder / "work").mkdir()
    environment = lonely_environment(folder / "home", PYTHONPATH=str(SOURCES), **more)
    words = (
        "-m",
        "streamgauge",
        "exec",
        "--url",
        it.url,
        "--model",
        "sim",
        "--",
        *map(str, command),
    )
    done = await run(Path(sys.executable), *words, environment=environment, cwd=work, text=text)
    assert done.code == 0, done
    return done


async def test_claude_code(tmp_path: Path, real_program: Callable[[str], Path]) -> None:
    program = real_program("claude")
    async with stand(tmp_path, flavour="anthropic") as it:
        done = await through_exec(
            it,
            tmp_path,
            *(program, "-p", ASK_TEXT, "--output-format", "json", "--model", "sim"),
            CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC="1",
        )
        (row,) = await agreed_rows(it, 1)
    assert json.loads(done.out)["result"] == SAID
    assert row["client_app"].startswith("claude-cli/")


async def test_opencode(tmp_path: Path, real_program: Callable[[str], Path]) -> None:
    program = real_program("opencode")
    async with stand(tmp_path, flavour="openai") as it:
        done = await through_exec(
            it,
            tmp_path,
            *(program, "run", "--format", "json"),
            text=ASK_TEXT,
            OPENCODE_PURE="1",
            OPENCODE_DISABLE_AUTOUPDATE="1",
            OPENCODE_DISABLE_MODELS_FETCH="1",
            OPENCODE_DISABLE_LSP_DOWNLOAD="1",
            OPENCODE_DISABLE_DEFAULT_PLUGINS="1",
        )
        rows = await agreed_rows(it, 2)
    events = [json.loads(line) for line in done.out.splitlines()]
    assert [e["part"]["text"] for e in events if e["type"] == "text"] == [SAID]
    assert {row["requested_model"] for row in rows} == {"sim"}


async def test_both_sdks(tmp_path: Path) -> None:
    message = {"role": "user", "content": ASK_TEXT}
    script = (
        "import anthropic, openai\n"
        f"asked = {{'model': 'sim', 'max_tokens': 99, 'messages': [{message!r}]}}\n"
        "print(openai.OpenAI().chat.completions.create(**asked).choices[0].message.content)\n"
        "print(anthropic.Anthropic().messages.create(**asked).content[0].text)\n"
    )
    async with stand(tmp_path) as it:
        done = await through_exec(it, tmp_path, sys.executable, "-c", script)
        rows = await agreed_rows(it, 2)
    assert done.out == f"{SAID}\n" * 2
    assert [row["dialect"] for row in rows] == ["openai", "anthropic"]
