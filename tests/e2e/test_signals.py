"""`serve` as a process: ready, refusing to start, signals, a stop with and without grace, memory."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from streamgauge.tools.simulator import Simulator

from ..timed import in_time
from .process import GatewayProcess, closed_rows, serving
from .stand import Answer, frames_of, until

CHAT = "/v1/chat/completions"
READY_SECONDS = 1.0
LENIENCY = 5  # a timing test asserts five times its figure
IDLE_MIB = 80
FLUSHED_WITHIN = 2.0
CONFIGURATION, CANNOT_START = 3, 4


def chat(**sim: Any) -> dict[str, Any]:
    """Return a streaming request that asks `sim` of the simulator."""
    messages = [{"role": "user", "content": "hi"}]
    return {"model": "sim", "stream": True, "messages": messages, "sim": sim}


async def running(gateway: GatewayProcess, simulator: Simulator, *bodies: Any) -> list[Any]:
    """Begin these streams and wait until the upstream has sent content on each."""
    tasks = [asyncio.create_task(gateway.ask(CHAT, body)) for body in bodies]
    await until(lambda: [entry.frames > 2 for entry in simulator.begun] == [True] * len(bodies))
    return tasks


async def until_unready(gateway: GatewayProcess) -> Answer:
    """Ask `/readyz` until it says 503, as a load balancer does; return that answer."""
    deadline = time.monotonic() + 5
    while (answer := await gateway.get("/readyz")).status == 200:
        assert time.monotonic() < deadline, "it stays ready"
    return answer


async def run_to_end(folder: Path, *arguments: str) -> tuple[int, str]:
    """Run `serve` until it gives up; return the exit code and what it said."""
    gateway = await GatewayProcess.launch(*arguments, cwd=folder)
    try:
        code = await gateway.exit()
    finally:
        await gateway.kill()
    return code, "\n".join(gateway.lines)


@pytest.mark.asyncio
async def test_it_is_ready_soon_and_small_when_idle(tmp_path: Path) -> None:
    async with Simulator() as simulator, serving(tmp_path, simulator) as gateway:
        answer = await gateway.get("/readyz")
        assert (answer.status, answer.json()["ready"]) == (200, True)
        ready = next(line for line in gateway.lines if line.startswith("ready "))
        fields = dict(pair.split("=", 1) for pair in ready.split()[1:])
        idle = gateway.resident_mib()
    print(f"ready={gateway.ready_seconds:.2f} s idle={idle:.1f} MiB")
    assert fields == {
        "data": f"http://127.0.0.1:{gateway.port}",
        "control": "-",
        "pid": str(gateway.process.pid),
        "ledger": str(tmp_path / "ledger.db"),
    }
    in_time(gateway.ready_seconds, READY_SECONDS * LENIENCY)
    assert idle < IDLE_MIB


@pytest.mark.fault("F3")
@pytest.mark.asyncio
async def test_sigterm_lets_live_streams_finish_and_refuses_new_ones(tmp_path: Path) -> None:
    async with Simulator() as simulator, serving(tmp_path, simulator) as gateway:
        streams = await running(gateway, simulator, *[chat(tokens=100, gap_ms=10)] * 20)
        gateway.signal(signal.SIGTERM)
        page = await until_unready(gateway)
        refused = await gateway.ask(CHAT, chat(tokens=1))
        answers = await asyncio.gather(*streams)
        assert await gateway.exit() == 0
        calls = len(simulator.begun)
        rows = await closed_rows(tmp_path, 21)
    assert (page.status, page.json()["reasons"]) == (503, ["draining"])
    assert (refused.status, refused.json()["error"]["code"]) == (503, "server_shutdown")
    assert all(answer.clean and frames_of(answer.body)[-1] == b"[DONE]" for answer in answers)
    assert calls == 20, "a refused stream goes nowhere"
    assert sorted(row["status"] for row in rows) == [*["completed"] * 20, "rejected"]
    finished = [row for row in rows if row["status"] == "completed"]
    assert {(r["usage_source"], r["output_tokens"]) for r in finished} == {("provider", 100)}


@pytest.mark.fault("F4")
@pytest.mark.parametrize("dialect", ["openai", "anthropic"])
@pytest.mark.asyncio
async def test_a_stream_longer_than_the_grace_gets_an_error_end(
    dialect: str, tmp_path: Path
) -> None:
    path = CHAT if dialect == "openai" else "/v1/messages"
    config = {"server": {"drain_seconds": 1}}
    async with Simulator() as simulator, serving(tmp_path, simulator, config=config) as gateway:
        body = chat(tokens=5000, gap_ms=10) | {"max_tokens": 9000}
        stream = asyncio.create_task(gateway.ask(path, body))
        await until(lambda: any(entry.frames > 2 for entry in simulator.begun))
        gateway.signal(signal.SIGTERM)
        answer = await stream
        code = await gateway.exit()
        rows = await closed_rows(tmp_path, 1)
        entry = await asyncio.wait_for(simulator.until_ended(1), 5)
    error = json.loads(frames_of(answer.body)[-1])
    assert code == 0
    assert answer.clean
    assert error["error"]["code"] == "server_shutdown"
    assert error.get("type") == (None if dialect == "openai" else "error")
    assert entry.ending == "client_closed"
    assert (rows[0]["status"], rows[0]["error_code"]) == ("shutdown", "server_shutdown")
    assert (rows[0]["success"], rows[0]["delivered"]) == (False, "part")


@pytest.mark.fault("F5")
@pytest.mark.asyncio
async def test_a_second_signal_ends_at_once_with_the_rows_written(tmp_path: Path) -> None:
    async with Simulator() as simulator, serving(tmp_path, simulator) as gateway:
        streams = await running(gateway, simulator, *[chat(tokens=9000, gap_ms=10)] * 4)
        gateway.signal(signal.SIGTERM)
        await until_unready(gateway)
        began = time.monotonic()
        gateway.signal(signal.SIGTERM)
        code = await gateway.exit()
        took = time.monotonic() - began
        answers = await asyncio.gather(*streams)
        rows = await closed_rows(tmp_path, 4)
    assert code == 1
    in_time(took, FLUSHED_WITHIN)
    assert [row["status"] for row in rows] == ["shutdown"] * 4
    assert all(b"server_shutdown" in frames_of(answer.body)[-1] for answer in answers)


@pytest.mark.asyncio
async def test_sigusr1_prints_stacks_and_tasks_and_the_process_lives(tmp_path: Path) -> None:
    async with Simulator() as simulator, serving(tmp_path, simulator, control=0) as gateway:
        (stream,) = await running(gateway, simulator, chat(tokens=60, gap_ms=10))
        gateway.signal(signal.SIGUSR1)
        await until(lambda: any("ControlServer._serve" in line for line in gateway.lines))
        await until(lambda: any("_serve_ledger" in line for line in gateway.lines))
        assert any(line.startswith(("Thread 0x", "Current thread 0x")) for line in gateway.lines)
        assert any("Stack for <Task" in line for line in gateway.lines)
        answer = await stream
        assert frames_of(answer.body)[-1] == b"[DONE]"
        assert (await gateway.get("/healthz")).status == 200


@pytest.mark.fault("F53")
@pytest.mark.asyncio
async def test_a_taken_port_is_exit_4(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        where = ("--upstream", "sim=http://127.0.0.1:9", "--port", str(port))
        code, said = await run_to_end(tmp_path, *where)
    assert code == CANNOT_START, said
    assert f"127.0.0.1:{port}" in said
    assert "Traceback" not in said


@pytest.mark.fault("F53")
@pytest.mark.asyncio
async def test_a_second_gateway_on_one_ledger_is_exit_4(tmp_path: Path) -> None:
    async with Simulator() as simulator, serving(tmp_path, simulator) as first:
        config = str(tmp_path / "streamgauge.yaml")
        code, said = await run_to_end(tmp_path, "--config", config, "--port", "0")
        assert (await first.get("/healthz")).status == 200
        assert f"pid {first.process.pid}" in said
    assert code == CANNOT_START, said
    assert "Traceback" not in said


@pytest.mark.asyncio
async def test_without_an_upstream_it_says_in_one_screen_what_to_do_next(tmp_path: Path) -> None:
    code, said = await run_to_end(tmp_path, "--port", "0")
    assert code == CONFIGURATION
    assert "No upstream is configured" in said
    assert all(command in said for command in ("serve --upstream", "--config", "streamgauge demo"))
    assert len(said.splitlines()) <= 24
    assert not os.listdir(tmp_path), "nothing is made before it is known what to serve"
