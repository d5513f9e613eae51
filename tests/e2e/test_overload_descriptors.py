"""Descriptors that run out: idle connections go first, streams are shed, nothing spins (FAULTS F47)."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import resource
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from streamgauge.tools.simulator import Simulator

from .process import GatewayProcess, closed_rows, serving
from .stand import Answer, frames_of, until

CHAT = "/v1/chat/completions"
LIMIT = 128
ASKING, LEAST = 50, 38
"""Of 128 some 90 are for sockets: so many clients ask, and at least so many streams find room."""
BUSY = 0.3
"""Seconds of processor time in one second that a gateway without work may take at most."""


def chat(**sim: Any) -> dict[str, Any]:
    """Return a streaming request that asks `sim` of the simulator."""
    messages = [{"role": "user", "content": "hi"}]
    return {"model": "sim", "stream": True, "messages": messages, "sim": sim}


@contextlib.asynccontextmanager
async def crowd(gateway: GatewayProcess, count: int) -> AsyncIterator[list[socket.socket]]:
    """Connect `count` sockets that say nothing."""
    loop = asyncio.get_running_loop()
    sockets = [socket.socket() for _ in range(count)]
    try:
        for raw in sockets:
            raw.setblocking(False)
            await loop.sock_connect(raw, ("127.0.0.1", gateway.port))
        yield sockets
    finally:
        for raw in sockets:
            raw.close()


def left_open(sockets: list[socket.socket]) -> int:
    """Return how many of `sockets` the gateway has not closed."""
    count = 0
    for raw in sockets:
        try:
            raw.recv(4096)
        except BlockingIOError:
            count += 1
        except OSError:
            continue
    return count


async def spent(gateway: GatewayProcess) -> float:
    """Return the seconds of processor time that the gateway takes in the next second."""
    began = gateway.cpu_seconds()
    await asyncio.sleep(1.0)  # what is measured
    return gateway.cpu_seconds() - began


def is_whole(answer: Answer) -> bool:
    """Whether a stream came with its end."""
    return answer.status == 200 and frames_of(answer.body)[-1] == b"[DONE]"


@pytest.mark.fault("F47")
@pytest.mark.asyncio
async def test_a_crowd_of_idle_connections_makes_room_for_calls(tmp_path: Path) -> None:
    async with (
        Simulator() as simulator,
        serving(tmp_path, simulator, descriptors=LIMIT) as gateway,
        crowd(gateway, 4 * LIMIT) as sockets,
    ):
        served = asyncio.create_task(first_served(gateway))
        refused = await asyncio.wait_for(served, 5)
        answers = [await gateway.ask(CHAT, chat(tokens=3)) for _ in range(20)]
        health = await gateway.get("/healthz")
        seconds = await spent(gateway)
        kept = left_open(sockets)
        rows = await closed_rows(tmp_path, len(answers) + 1)
    print(f"{kept} of {len(sockets)} kept, {refused} calls refused before the first was served")
    assert all(is_whole(answer) for answer in answers)
    assert health.status == 200
    assert 10 <= kept < LIMIT
    assert seconds <= BUSY
    assert {row["status"] for row in rows} <= {"completed", "rejected"}
    assert sum(row["status"] == "completed" for row in rows) == len(answers) + 1


async def first_served(gateway: GatewayProcess) -> int:
    """Ask until a call is served: a crowd is cleared once it is a second old. Return the refusals."""
    for refused in itertools.count():
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            if is_whole(await gateway.ask(CHAT, chat(tokens=3))):
                return refused
        await asyncio.sleep(0.1)
    raise AssertionError


@pytest.mark.fault("F47")
@pytest.mark.asyncio
async def test_streams_beyond_the_descriptors_are_shed_with_a_row_and_the_rest_is_whole(
    tmp_path: Path,
) -> None:
    async with (
        Simulator() as simulator,
        serving(tmp_path, simulator, descriptors=LIMIT) as gateway,
    ):
        async with contextlib.AsyncExitStack() as stack:
            clients = []
            for _ in range(ASKING):
                client = await stack.enter_async_context(gateway.client())
                await client.post(CHAT, chat(tokens=20, first_ms=1500, gap_ms=5))
                clients.append(client)
            await until(lambda: len(simulator.begun) >= LEAST)
            health = await gateway.get("/healthz")
            seconds = await spent(gateway)
            answers = await asyncio.gather(*(client.answer() for client in clients))
        again = await gateway.ask(CHAT, chat(tokens=3))
        rows = await closed_rows(tmp_path, len(answers) + 1)
    shed = [answer for answer in answers if answer.status == 503]
    assert sum(is_whole(answer) for answer in answers) == len(answers) - len(shed) >= LEAST
    assert len(shed) >= 2
    for answer in shed:
        assert answer.json()["error"]["code"] == "overloaded"
        assert answer.headers["retry-after"] == "1"
    assert health.status == 200
    assert seconds <= BUSY
    assert is_whole(again)
    rejected = [row for row in rows if row["status"] == "rejected"]
    assert {row["id"] for row in rejected} == {answer.id for answer in shed}
    assert len(rows) == len(answers) + 1
    assert len(simulator.begun) == len(rows) - len(rejected)


@pytest.mark.fault("F47")
@pytest.mark.asyncio
async def test_a_process_without_one_descriptor_left_sheds_and_recovers(tmp_path: Path) -> None:
    """The limit sinks under a running gateway, as when another part of the process eats it up."""
    async with Simulator() as simulator, serving(tmp_path, simulator) as gateway:
        pid = gateway.process.pid
        _, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        async with gateway.client() as client, contextlib.AsyncExitStack() as stack:
            held = [await stack.enter_async_context(gateway.client()) for _ in range(5)]
            for each in held:  # they use up what connections are kept to the upstream
                await each.post(CHAT, chat(tokens=2, first_ms=1, gap_ms=2500))
                await each.head()
            await client.post("/v1/nothing", {})
            assert (await client.answer()).status == 404
            most = 1 + max(int(name) for name in os.listdir(f"/proc/{pid}/fd"))
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (most, hard))
            async with crowd(gateway, 100) as sockets:
                await until(lambda: left_open(sockets) < len(sockets))
                await client.post(CHAT, chat(tokens=1))
                shed = await client.answer()
                seconds = await spent(gateway)
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (hard, hard))
            await client.post(CHAT, chat(tokens=1))
            again = await client.answer()
            for each in held:
                while await each.chunk():
                    pass
        fresh = await gateway.ask(CHAT, chat(tokens=1))
        rows = await closed_rows(tmp_path, 8)
    assert (shed.status, shed.json()["error"]["code"]) == (503, "overloaded")
    assert shed.headers["retry-after"] == "1"
    assert seconds <= BUSY
    assert is_whole(again)
    assert is_whole(fresh)
    assert sorted(row["status"] for row in rows) == ["completed"] * 7 + ["rejected"]


@pytest.mark.asyncio
async def test_serve_takes_as_many_descriptors_as_it_may(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 1000), hard))
    try:
        async with Simulator() as simulator, serving(tmp_path, simulator) as gateway:
            got = resource.prlimit(gateway.process.pid, resource.RLIMIT_NOFILE)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert got == (hard, hard)
