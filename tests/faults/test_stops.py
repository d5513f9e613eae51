"""Signals and starts of the whole process: F3–F5 and F53, each with many seeds."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from streamgauge.tools.simulator import Simulator

from ..e2e.process import GatewayProcess, closed_rows, serving
from ..e2e.stand import frames_of, until
from ..timed import in_time
from .trial import dice_of, seeded_seldom

CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"
CANNOT_START = 4
FLUSHED_WITHIN = 2.0


def request_of(dice: random.Random, low: int, high: int, gap: int) -> tuple[str, dict[str, Any]]:
    """Return a streaming request of either dialect for so many tokens, `gap` ms apart."""
    sim = {"tokens": dice.randint(low, high), "gap_ms": gap}
    messages = [{"role": "user", "content": "hi"}]
    body = {"model": "sim", "stream": True, "max_tokens": 9000, "messages": messages, "sim": sim}
    return dice.choice((CHAT, MESSAGES)), body


async def begin(
    gateway: GatewayProcess, simulator: Simulator, asked: list[tuple[str, dict[str, Any]]]
) -> list[asyncio.Task[Any]]:
    """Begin these streams and wait until the upstream has sent content on each."""
    tasks = [asyncio.create_task(gateway.ask(path, body)) for path, body in asked]
    await until(lambda: [entry.frames > 2 for entry in simulator.begun] == [True] * len(asked), 10)
    return tasks


def code_of(body: bytes) -> str:
    """Return the code of the error that ends a stream."""
    return str(json.loads(frames_of(body)[-1])["error"]["code"])


async def until_unready(gateway: GatewayProcess) -> None:
    """Ask `/readyz` until it says no, as a load balancer does."""
    deadline = time.monotonic() + 5
    while (await gateway.get("/readyz")).status == 200:
        assert time.monotonic() < deadline, "it stays ready"


@pytest.mark.fault("F3")
@seeded_seldom
@pytest.mark.asyncio
async def test_within_the_grace_streams_finish_and_new_ones_are_refused(
    seed: int, tmp_path: Path
) -> None:
    dice = dice_of("F3", seed)
    asked = [request_of(dice, 50, 90, 10) for _ in range(dice.randint(1, 20))]
    number = dice.choice((signal.SIGTERM, signal.SIGINT))
    async with Simulator() as simulator, serving(tmp_path, simulator) as gateway:
        streams = await begin(gateway, simulator, asked)
        gateway.signal(number)
        await until_unready(gateway)
        refused = await gateway.ask(*request_of(dice, 1, 1, 0))
        answers = await asyncio.gather(*streams)
        assert await gateway.exit() == 0
        assert len(simulator.begun) == len(asked)
        rows = await closed_rows(tmp_path, len(asked) + 1)
    assert refused.json()["error"]["code"] == "server_shutdown"
    assert all(answer.clean for answer in answers)
    assert sorted(row["status"] for row in rows) == [*["completed"] * len(asked), "rejected"]
    assert {row["usage_source"] for row in rows if row["attempts"]} == {"provider"}


@pytest.mark.fault("F4")
@seeded_seldom
@pytest.mark.asyncio
async def test_beyond_the_grace_streams_get_an_error_end(seed: int, tmp_path: Path) -> None:
    dice = dice_of("F4", seed)
    asked = [request_of(dice, 3000, 4000, 10) for _ in range(dice.randint(1, 12))]
    config = {"server": {"drain_seconds": dice.choice((0.1, 0.3, 0.5))}}
    async with Simulator() as simulator, serving(tmp_path, simulator, config=config) as gateway:
        streams = await begin(gateway, simulator, asked)
        gateway.signal(dice.choice((signal.SIGTERM, signal.SIGINT)))
        answers = await asyncio.gather(*streams)
        assert await gateway.exit() == 0
        rows = await closed_rows(tmp_path, len(asked))
    assert all(answer.clean for answer in answers)
    assert {code_of(answer.body) for answer in answers} == {"server_shutdown"}
    assert [(row["status"], row["delivered"]) for row in rows] == [("shutdown", "part")] * len(
        asked
    )


@pytest.mark.fault("F5")
@seeded_seldom
@pytest.mark.asyncio
async def test_a_second_signal_stops_at_once_with_the_rows_written(
    seed: int, tmp_path: Path
) -> None:
    dice = dice_of("F5", seed)
    asked = [request_of(dice, 3000, 4000, 10) for _ in range(dice.randint(1, 12))]
    first, second = (dice.choice((signal.SIGTERM, signal.SIGINT)) for _ in range(2))
    async with Simulator() as simulator, serving(tmp_path, simulator) as gateway:
        streams = await begin(gateway, simulator, asked)
        gateway.signal(first)
        await until_unready(gateway)
        gateway.signal(second)
        began = time.monotonic()
        assert await gateway.exit() == 1
        took = time.monotonic() - began
        answers = await asyncio.gather(*streams)
        rows = await closed_rows(tmp_path, len(asked))
    in_time(took, FLUSHED_WITHIN)
    assert {code_of(answer.body) for answer in answers} == {"server_shutdown"}
    assert {row["status"] for row in rows} == {"shutdown"}


async def _refused(folder: Path, *arguments: str) -> str:
    """Run `serve`, which has to give up; return what it said."""
    gateway = await GatewayProcess.launch(*arguments, cwd=folder)
    try:
        assert await gateway.exit() == CANNOT_START, "\n".join(gateway.lines)
    finally:
        await gateway.kill()
    said = "\n".join(gateway.lines)
    assert "Traceback" not in said
    return said


@pytest.mark.fault("F53")
@seeded_seldom
@pytest.mark.asyncio
async def test_a_taken_port_refuses_the_start(seed: int, tmp_path: Path) -> None:
    dice = dice_of("F53/port", seed)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen(dice.randint(0, 5))
        port = taken.getsockname()[1]
        where = ("--upstream", "sim=http://127.0.0.1:9", "--port", str(port))
        said = await _refused(tmp_path, *where)
    assert f"127.0.0.1:{port}" in said


def _names_of(folder: Path, dice: random.Random) -> str:
    """Return the ledger's path under one of the names that it has."""
    (folder / "inside").mkdir(exist_ok=True)
    link = folder / "link.db"
    if not link.is_symlink():
        link.symlink_to(folder / "ledger.db")
    relative = os.path.relpath(folder / "ledger.db", folder)
    return dice.choice(
        (
            f"sqlite:///{folder / 'ledger.db'}",
            f"sqlite:///{folder / 'inside' / '..' / 'ledger.db'}",
            f"sqlite:///{link}",
            f"sqlite:///{relative}",
        )
    )


@pytest.mark.fault("F53")
@seeded_seldom
@pytest.mark.asyncio
async def test_a_second_gateway_on_the_ledger_refuses_to_start(seed: int, tmp_path: Path) -> None:
    dice = dice_of("F53/ledger", seed)
    async with Simulator() as simulator, serving(tmp_path, simulator) as first:
        other = {
            "upstreams": [{"name": "sim", "kind": "sim", "base_url": simulator.url}],
            "ledger": {"url": _names_of(tmp_path, dice)},
        }
        file = tmp_path / "other.yaml"
        file.write_text(json.dumps(other))
        said = await _refused(tmp_path, "--config", str(file), "--port", "0")
        assert (await first.get("/healthz")).status == 200
    assert f"pid {first.process.pid}" in said
