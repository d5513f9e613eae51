"""docs/quickstart.md, each command run as a newcomer would: demo, dashboard, an agent, a slow stream."""

from __future__ import annotations

import json
import re
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.request import urlopen

import pytest

from streamgauge.tools.simulator import Simulator

from .proxies import free_port
from .shell import Terminal, interrupted, lines_until

PAGE = (Path(__file__).parents[2] / "docs" / "quickstart.md").read_text()
AGENT = """
import json, os, urllib.request
body = {"model": "claude-sonnet", "max_tokens": 9, "stream": True,
        "messages": [{"role": "user", "content": "count to 5"}]}
request = urllib.request.Request(
    os.environ["ANTHROPIC_BASE_URL"] + "/v1/messages", json.dumps(body).encode(),
    {"authorization": "Bearer " + os.environ["ANTHROPIC_AUTH_TOKEN"], "user-agent": "claude-cli/2",
     "content-type": "application/json", "anthropic-version": "2023-06-01"})
print(urllib.request.urlopen(request).read().decode())
"""

pytestmark = pytest.mark.asyncio


def blocks() -> list[list[str]]:
    """Return the commands of the page, block by block."""
    fenced = re.findall(r"(?ms)^```(\w*)\n(.*?)^```$", PAGE)
    return [text.splitlines() for language, text in fenced if not language]


SCRIPT, PATH, SUMMARY, EXEC, ENV, ROWS, SLOW, OWN = blocks()


def agent(folder: Path) -> None:
    """Put a `claude` on the path that asks once; the real one has tests of its own."""
    (folder / "bin").mkdir()
    (folder / "agent.py").write_text(AGENT)
    claude = folder / "bin" / "claude"
    claude.write_text(
        f"#!/bin/sh\nexec {shlex.quote(sys.executable)} {shlex.quote(str(folder / 'agent.py'))}\n"
    )
    claude.chmod(0o755)


class Newcomer(Terminal):
    """A second terminal beside a demo, with the page's PATH and the demo's ports."""

    def __init__(self, folder: Path, data: str, control: str, **more: str) -> None:
        super().__init__(folder, {":8066": f":{data}", ":8067": f":{control}", **more})
        self.setting = {
            "STREAMGAUGE_SERVER__PORT": data,
            "STREAMGAUGE_CONTROL__PORT": control,
        }

    async def type(self, line: str) -> str:
        """Run a command of the page and return what it printed."""
        return await self.run(f"{PATH[0]}; {line}", **self.setting)

    async def ids(self, line: str) -> list[str]:
        """Run `ls` and return the ids, newest first."""
        return [
            row.split()[2] for row in (await self.type(line)).splitlines()[1:] if " sim " in row
        ]


async def test_the_five_minutes(tmp_path: Path, real_program: Callable[[str], Path]) -> None:
    real_program("curl")
    agent(tmp_path)
    port = await free_port()
    first = Terminal(tmp_path, {})
    # scripts/demo makes an environment and then does this; tests/test_project.py runs it itself.
    demo = await first.start(f"exec .venv/bin/streamgauge demo --port {port}")
    try:
        said = await lines_until(demo.stdout, "running")
        dashboard = said.splitlines()[0].split("dashboard ")[1].split()[0]
        newcomer = Newcomer(tmp_path, str(port), dashboard.rpartition(":")[2])
        await see_the_dashboard(newcomer, dashboard)
        await point_an_agent(newcomer)
        await see_its_row(newcomer)
        await find_out_why(newcomer)
    finally:
        assert await interrupted(demo) == 0


async def see_the_dashboard(newcomer: Newcomer, url: str) -> None:
    with urlopen(f"{url}/", timeout=10) as page:
        assert page.headers["content-type"].startswith("text/html")
        assert b"streamgauge" in page.read()
    (summary,) = SUMMARY
    assert json.loads(await newcomer.type(summary))["requests_last_minute"] == 7


async def point_an_agent(newcomer: Newcomer) -> None:
    (execute,) = EXEC
    anthropic, openai = ENV
    for line in (execute, anthropic):
        assert "event: message_stop" in await newcomer.type(line)
    shown = await newcomer.type(f'{openai}; echo "$OPENAI_BASE_URL"')
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/v1\n", shown)


async def see_its_row(newcomer: Newcomer) -> None:
    ls, top = ROWS
    listed = (await newcomer.type(ls)).splitlines()
    assert [line.split()[4:6] for line in listed[1:3]] == [["completed", "anthropic"]] * 2
    shown = await newcomer.type(top)
    assert "no streams" in shown
    assert listed[1].split()[2] in shown
    assert re.search(r"req/min +\d+ ", shown)


async def find_out_why(newcomer: Newcomer) -> None:
    waits, crawls, ls, show = SLOW
    for line in (waits, crawls):
        assert (await newcomer.type(line)).rstrip().endswith("data: [DONE]")
    crawling, waiting = await newcomer.ids(ls)
    waited = await newcomer.type(show.replace("ID", waiting[:12]))
    crawled = await newcomer.type(show.replace("ID", crawling[:12]))
    assert re.search(r"slowest step +[1-7]\.\d+ s  first byte → first token\s", waited)
    assert re.search(r"slowest step +[1-7]\.\d+ s  first token → last token\s", crawled)
    assert re.search(r"gap p50 +(19\d|[2-9]\d\d) ms\s", crawled)


async def test_a_model_of_ones_own(tmp_path: Path) -> None:
    init, check, serve = OWN
    port = await free_port()
    async with Simulator() as simulator:
        await simulator.start("127.0.0.1", 0)
        model = {"http://127.0.0.1:8080": simulator.url}
        terminal = Newcomer(tmp_path, str(port), "0", **model)
        await terminal.type(init)
        assert ": ok, version" in await terminal.type(check)
        gateway = await terminal.start(f"{PATH[0]}; exec {serve}", **terminal.setting)
        try:
            said = await lines_until(gateway.stderr, "ready ")
            assert f"data=http://127.0.0.1:{port} " in said
        finally:
            assert await interrupted(gateway) == 0


async def test_the_pages_other_command_is_the_demos_script() -> None:
    assert SCRIPT == ["scripts/demo"]
    assert len(PATH) == 1
