"""The README's commands, run as a new user would: the demo, a second terminal, a model of one's own."""

from __future__ import annotations

import json
import re
import shlex
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest

from streamgauge.gateway.ids import IdSource
from streamgauge.tools.simulator import Simulator

from .proxies import free_port
from .shell import Terminal, interrupted, lines_until

README = (Path(__file__).parents[2] / "README.md").read_text()

pytestmark = pytest.mark.asyncio


def commands_after(words: str) -> list[str]:
    """Return the lines of the first block behind `words`."""
    assert README.count(words) == 1, words
    return README.split(words)[1].split("```")[1].strip().splitlines()


async def test_the_demo_and_a_second_terminal(
    tmp_path: Path, real_program: Callable[[str], Path]
) -> None:
    real_program("curl")
    port = await free_port()
    terminal = Terminal(tmp_path, {":8066": f":{port}"})
    # scripts/demo makes an environment and then does this; tests/test_project.py runs it itself.
    demo = await terminal.start(f"exec .venv/bin/streamgauge demo --port {port}")
    try:
        said = await lines_until(demo.stdout, "running")
        dashboard = said.splitlines()[0].split("dashboard ")[1].split()[0]
        curl, ls, show, top, tail = commands_after("in a second terminal:\n\n")
        assert (await terminal.run(curl)).rstrip().endswith("data: [DONE]")
        listed = (await terminal.run(ls)).splitlines()
        assert "completed" in listed[1], "the call of curl is the newest"
        assert len([line for line in listed if " sim " in line]) == 3
        page = await terminal.run(show.replace("ID", listed[1].split()[2][:10]))
        assert "The upstream sent its end marker" in page
        assert "curl/" in page
        setting = {"STREAMGAUGE_CONTROL__PORT": dashboard.rpartition(":")[2]}
        assert f"streamgauge top  {dashboard} " in await terminal.run(top, **setting)
        following = await terminal.start(f"exec {tail}")
        try:
            await lines_until(following.stdout, "model=")
        finally:
            code = await interrupted(following)
        assert code == 0
    finally:
        assert await interrupted(demo) == 0


async def test_a_model_of_ones_own(tmp_path: Path) -> None:
    ports = {":8066": f":{await free_port()}"}
    (folder := tmp_path / "bin").mkdir()
    claude = folder / "claude"  # any client: here one that tells what it was given
    claude.write_text(f"#!/bin/sh\nexec {shlex.quote(sys.executable)} -c "
                      "'import json, os; print(json.dumps(dict(os.environ)))'\n")  # fmt: skip
    claude.chmod(0o755)
    async with Simulator() as simulator:
        await simulator.start("127.0.0.1", 0)
        ports["http://127.0.0.1:8080"] = simulator.url
        terminal = Terminal(tmp_path, ports)
        init, check, serve = commands_after("With a model of your own:\n\n")
        await terminal.run(init)
        assert ": ok, version" in await terminal.run(check)
        setting = {
            "STREAMGAUGE_SERVER__PORT": ports[":8066"].strip(":"),
            "STREAMGAUGE_CONTROL__PORT": "0",
        }
        gateway = await terminal.start(f"exec {serve}", **setting)
        try:
            await lines_until(gateway.stderr, "ready ")
            await second_terminal(terminal, setting)
            await before_others_depend_on_it(terminal, setting)
        finally:
            assert await interrupted(gateway) == 0


async def second_terminal(terminal: Terminal, setting: dict[str, str]) -> None:
    execute, evaluate, opencode = commands_after("whatever client you use:\n\n")
    url = f"http://127.0.0.1:{setting['STREAMGAUGE_SERVER__PORT']}"
    told = json.loads(await terminal.run(execute, **setting))
    assert told["ANTHROPIC_BASE_URL"] == url
    assert told["OPENAI_BASE_URL"] == f"{url}/v1"
    shown = await terminal.run(f'{evaluate}; echo "$OPENAI_BASE_URL"', **setting)
    assert shown == f"{url}/v1\n"
    line = await terminal.run(opencode, **setting)
    assert re.match(r"export OPENCODE_CONFIG_CONTENT='\{\"provider\"", line)


async def before_others_depend_on_it(terminal: Terminal, setting: dict[str, str]) -> None:
    doctor, explain, create = commands_after("before others depend on it:\n\n")
    examination = await terminal.start(doctor, **setting)
    said, _ = await examination.communicate()
    assert examination.returncode in {0, 1}, "1: the machine of the test may lack something"
    assert b"upstream llamacpp\n  ok       reachable" in said
    assert "1.  llamacpp  qwen3" in await terminal.run(explain, **setting)
    key = (await terminal.run(create, **setting)).splitlines()[0]
    assert re.fullmatch(r"sk-sg-\w{49}", key)


async def test_the_record_has_the_id_that_its_time_gives() -> None:
    begun = re.search(r"accepted  (\S+ \S+)$", README, re.MULTILINE)
    assert begun is not None
    time = datetime.strptime(begun[1], "%Y-%m-%d %H:%M:%S.%f%z")
    assert f"\n{IdSource(lambda: round(time.timestamp() * 1e9)).next()[:7]}" in README


async def test_every_command_of_the_readme_is_run_by_a_test() -> None:
    blocks = re.findall(r"(?s)```\n(.*?)```", README)
    lines = [line for block in blocks for line in block.splitlines() if line[:1] not in {"", " "}]
    known = ["scripts/demo", "scripts/test"]
    for words in (
        "in a second terminal:\n\n",
        "With a model of your own:\n\n",
        "whatever client you use:\n\n",
        "before others depend on it:\n\n",
    ):
        known += commands_after(words)
    assert lines == known
