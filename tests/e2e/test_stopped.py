"""A gateway that stood still, as when its container was paused: nobody else is late for it."""

from __future__ import annotations

import asyncio
import json
import signal
from pathlib import Path
from typing import Any

import pytest

from streamgauge.tools.simulator import Simulator

from .process import GatewayProcess, closed_rows, serving
from .stand import Client, until

pytestmark = [pytest.mark.asyncio]

CHAT = "/v1/chat/completions"
IDLE = 0.6
STOPPED = 2.5
"""Seconds: longer than the timeouts, and than two looks at the clock."""


def chat(**sim: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": "hi"}]
    return {"model": "sim", "stream": True, "messages": messages, "sim": sim}


async def stand_still(gateway: GatewayProcess) -> None:
    gateway.signal(signal.SIGSTOP)
    await asyncio.sleep(STOPPED)
    gateway.signal(signal.SIGCONT)


@pytest.mark.parametrize("moment", ["before the first token", "in mid-stream"])
async def test_an_upstream_that_spoke_meanwhile_is_not_late(moment: str, tmp_path: Path) -> None:
    limits = {"idle": IDLE, "first_token": IDLE}
    async with (
        Simulator() as simulator,
        serving(tmp_path, simulator, timeouts=limits) as gateway,
        gateway.client() as client,
    ):
        await client.post(CHAT, chat(tokens=30, gap_ms=100, first_ms=300))
        if moment == "in mid-stream":
            await client.head()
            await client.chunk()
        else:
            await until(lambda: len(simulator.begun) == 1)
        await stand_still(gateway)
        if moment != "in mid-stream":
            await client.head()
        while await client.chunk():
            pass
        [row] = await closed_rows(tmp_path, 1)
    assert (row["status"], row["output_tokens"]) == ("completed", 30)


async def later(client: Client, data: bytes) -> None:
    await asyncio.sleep(STOPPED / 2)  # the process has to be still before they come
    client.writer.write(data)


async def test_a_client_that_sent_its_body_meanwhile_is_not_late(tmp_path: Path) -> None:
    body = json.dumps(chat(tokens=3)).encode()
    head = f"POST {CHAT} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: {len(body)}\r\n\r\n"
    config = {"server": {"body_seconds": 1}}
    async with (
        Simulator() as simulator,
        serving(tmp_path, simulator, config=config) as gateway,
        gateway.client() as client,
    ):
        client.writer.write(head.encode() + body[:10])
        await asyncio.sleep(0.2)
        sends = asyncio.create_task(later(client, body[10:]))
        await stand_still(gateway)
        await sends
        answer = await client.answer()
    assert answer.status == 200
