"""Reloads of the real process: by signal, by a changed file, and on request, good files and bad ones."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from streamgauge.tools.simulator import Simulator

from .control_client import admin, metrics
from .process import GatewayProcess, closed_rows, serving
from .stand import frames_of, until

CHAT = "/v1/chat/completions"
SEEN_WITHIN = 10.0


def chat(**sim: Any) -> dict[str, Any]:
    """Return a streaming request that asks `sim` of the simulator."""
    messages = [{"role": "user", "content": "hi"}]
    return {"model": "sim", "stream": True, "messages": messages, "sim": sim}


def truncated(whole: str) -> str:
    """A file that was cut while it was written."""
    return whole[:-1]


def with_an_unknown_key(whole: str) -> str:
    """A file with a mistyped key."""
    return json.dumps({**json.loads(whole), "metdata": "off"})


def with_a_bad_type(whole: str) -> str:
    """A file with text where a number is due."""
    return json.dumps({**json.loads(whole), "server": {"drain_seconds": "soon"}})


def with_a_price_without_unit(whole: str) -> str:
    """A file with a price that does not say in what."""
    return json.dumps({**json.loads(whole), "prices": [{"input": 3, "output": 15}]})


BAD = {
    truncated: "a bracket is open at the end of the file",
    with_an_unknown_key: "did you mean 'metadata'?",
    with_a_bad_type: "server.drain_seconds: must be a number of seconds",
    with_a_price_without_unit: "prices[0].currency: is required where a rate or fee is not 0",
}


async def said(gateway: GatewayProcess, event: str, times: int = 1) -> list[dict[str, Any]]:
    """Wait until the log holds so many lines of `event`, and return them."""

    def lines() -> list[dict[str, Any]]:
        found = [json.loads(line) for line in gateway.lines if line.startswith("{")]
        return [line for line in found if line["event"] == event]

    await until(lambda: len(lines()) >= times, SEEN_WITHIN)
    return lines()


@pytest.mark.fault("F6")
@pytest.mark.parametrize("break_it", BAD, ids=lambda each: each.__name__)
@pytest.mark.asyncio
async def test_a_bad_file_changes_nothing_by_signal_by_itself_and_on_request(
    break_it: Callable[[str], str], tmp_path: Path
) -> None:
    file, words = tmp_path / "streamgauge.yaml", BAD[break_it]
    async with (
        Simulator() as simulator,
        serving(tmp_path, simulator, control=0) as gateway,
    ):
        stream = asyncio.create_task(gateway.ask(CHAT, chat(tokens=150, gap_ms=10)))
        await until(lambda: any(entry.frames > 2 for entry in simulator.begun))
        first = (await gateway.get("/readyz")).json()["config"]
        file.write_text(break_it(file.read_text()))
        by_itself = await said(gateway, "config_refused")
        gateway.signal(signal.SIGHUP)
        by_signal = (await said(gateway, "config_refused", 2))[1:]
        on_request = await admin(gateway, "POST", "/admin/reload")
        page = await gateway.get("/readyz")
        samples = await metrics(gateway)
        after, running = await gateway.ask(CHAT, chat(tokens=3)), await stream
        gateway.signal(signal.SIGTERM)
        assert await gateway.exit() == 0
        rows = {row["id"]: row for row in await closed_rows(tmp_path, 2)}
    assert [line["cause"] for line in by_itself + by_signal] == ["file", "SIGHUP"]
    assert all(words in line["first"] and line["problems"] == "1" for line in by_itself)
    assert on_request.status == 422
    assert words in on_request.json()["problems"][0]
    assert on_request.json()["config_version"] == first["version"]
    assert first == {"state": "ok", "version": first["version"], "error": None}
    assert page.status == 200, "the gateway can serve, so it is ready"
    state = page.json()["config"]
    assert (state["state"], state["version"]) == ("stale", first["version"])
    assert words in state["error"]
    assert samples['streamgauge_config_reloads_total{result="refused"}'] == 3
    assert samples["streamgauge_config_stale"] == 1
    assert frames_of(running.body)[-1] == frames_of(after.body)[-1] == b"[DONE]"
    assert {row["config_version"] for row in rows.values()} == {first["version"]}


@pytest.mark.fault("F7")
@pytest.mark.asyncio
async def test_a_changed_file_takes_effect_and_running_streams_keep_theirs(tmp_path: Path) -> None:
    file = tmp_path / "streamgauge.yaml"
    async with Simulator() as simulator, serving(tmp_path, simulator) as gateway:
        stream = asyncio.create_task(gateway.ask(CHAT, chat(tokens=200, gap_ms=10)))
        await until(lambda: any(entry.frames > 2 for entry in simulator.begun))
        whole = json.loads(file.read_text())
        whole["upstreams"][0]["name"] = "renamed"
        (tmp_path / "new").write_text(json.dumps(whole))
        os.replace(tmp_path / "new", file)
        (line,) = await said(gateway, "config_reloaded")
        after, running = await gateway.ask(CHAT, chat(tokens=3)), await stream
        rows = {row["id"]: row for row in await closed_rows(tmp_path, 2)}
    assert (line["cause"], line["changed"]) == ("file", "true")
    new, old = rows[after.id], rows[running.id]
    assert (old["upstream"], new["upstream"]) == ("sim", "renamed")
    assert (old["status"], new["status"]) == ("completed", "completed")
    assert old["config_version"] != new["config_version"] == line["version"]


@pytest.mark.fault("F6")
@pytest.mark.asyncio
async def test_a_file_that_is_gone_makes_no_other_one_the_configuration(tmp_path: Path) -> None:
    home = tmp_path / ".config" / "streamgauge"
    home.mkdir(parents=True)
    for file, name in (
        (tmp_path / "streamgauge.yaml", "here"),
        (home / "streamgauge.yaml", "home"),
    ):
        upstream = {"name": name, "kind": "sim", "base_url": "http://127.0.0.1:1"}
        file.write_text(json.dumps({"upstreams": [upstream]}))
    began = time.monotonic()
    gateway = await GatewayProcess.launch("--port", "0", cwd=tmp_path)
    try:
        await gateway.ready(began)
        (tmp_path / "streamgauge.yaml").unlink()
        refused = await said(gateway, "config_refused")
        page = (await gateway.get("/readyz")).json()
    finally:
        await gateway.kill()
    assert "cannot read streamgauge.yaml: No such file or directory" in refused[0]["first"]
    assert (list(page["upstreams"]), page["config"]["state"]) == (["here"], "stale")


@pytest.mark.asyncio
async def test_keys_that_need_a_restart_are_named_and_flags_still_win(tmp_path: Path) -> None:
    file = tmp_path / "streamgauge.yaml"
    async with (
        Simulator() as simulator,
        serving(tmp_path, simulator, control=0) as gateway,
    ):
        before = (await gateway.get("/readyz")).json()["config"]["version"]
        whole = json.loads(file.read_text())
        whole["server"] = {"port": 1}
        whole["ledger"] = {"url": "sqlite:///elsewhere.db"}
        whole["log"] = {"format": "logfmt"}
        file.write_text(json.dumps(whole))
        (line,) = await said(gateway, "config_needs_restart")
        answer = await admin(gateway, "POST", "/admin/reload")
        assert (await gateway.get("/healthz")).status == 200
    assert line["keys"] == "ledger.url, log.format", "--port and its variable hide server.port"
    assert answer.status == 200
    assert answer.json() == {
        "reloaded": True,
        "config_version": before,
        "changed": False,
        "needs_restart": ["ledger.url", "log.format"],
    }
    assert not (tmp_path / "elsewhere.db").exists()


@pytest.mark.asyncio
async def test_the_log_level_follows_a_reload(tmp_path: Path) -> None:
    file = tmp_path / "streamgauge.yaml"
    async with Simulator() as simulator, serving(tmp_path, simulator) as gateway:
        await gateway.ask(CHAT, chat(tokens=1))
        await said(gateway, "exchange")
        whole = json.loads(file.read_text())
        file.write_text(json.dumps({**whole, "log": {"level": "debug"}}))
        gateway.signal(signal.SIGHUP)
        await said(gateway, "config_reloaded")
        await gateway.ask(CHAT, chat(tokens=1))
        assert len(await said(gateway, "stream_start")) == 1
