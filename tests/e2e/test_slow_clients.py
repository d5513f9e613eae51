"""Clients that read nothing, drip what they send, or only sit there: nobody else notices them."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import resource
import socket
import statistics
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Self

import pytest

from streamgauge.tools.simulator import Simulator

from ..timed import in_time
from .process import GatewayProcess, closed_rows, serving
from .stand import stand, until

CHAT = "/v1/chat/completions"
FULL = bool(os.environ.get("STREAMGAUGE_FULL"))
READERS = 500 if FULL else 60
IDLE = 10_000 if FULL else 1000
HELD = 5000 if FULL else 300
STREAM_BYTES = 200_000_000
READER_KIB = 192
"""What one reader may cost us: 64 KiB of high-water, one read of 64 KiB more, and its objects."""
IDLE_KIB = 8
HELD_KIB = 60 if not FULL else 30
IDLE_RSS_MIB = 80


def chat(**sim: Any) -> dict[str, Any]:
    """Return a streaming request that asks `sim` of the simulator."""
    messages = [{"role": "user", "content": "hi"}]
    return {"model": "sim", "stream": True, "messages": messages, "sim": sim}


def request(body: dict[str, Any]) -> bytes:
    """Return a whole POST of `body`."""
    raw = json.dumps(body).encode()
    head = f"POST {CHAT} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: {len(raw)}\r\n\r\n"
    return head.encode() + raw


class Hose(asyncio.Protocol):
    """An upstream that pours 200 MB of frames as fast as they are taken."""

    open = 0
    HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"
    NONE = b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"
    FRAME = b'data: {"choices":[{"index":0,"delta":{"content":"%b"}}]}\n\n' % (b"x" * 960)
    BLOCK = FRAME * 32

    def __init__(self) -> None:
        self.left = 0
        self.paused = False

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        Hose.open += 1

    def connection_lost(self, exc: Exception | None) -> None:
        self.left = 0
        Hose.open -= 1

    def data_received(self, data: bytes) -> None:
        if data.startswith(b"GET"):
            self.transport.write(self.NONE)
        elif not self.left:
            self.left = STREAM_BYTES
            self.transport.write(self.HEAD)
            self.pour()

    def pour(self) -> None:
        while self.left > 0 and not self.paused:
            self.left -= len(self.BLOCK)
            self.transport.write(self.BLOCK)

    def pause_writing(self) -> None:
        self.paused = True

    def resume_writing(self) -> None:
        self.paused = False
        self.pour()


class Hosing:
    """Serves hoses. `url` is what a gateway is given."""

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self.server = await loop.create_server(Hose, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self.server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self.server.close()


@contextlib.asynccontextmanager
async def connected(port: int, count: int, sent: bytes = b"") -> AsyncIterator[list[socket.socket]]:
    """Give `count` raw connections that have `sent` and read nothing."""
    loop = asyncio.get_running_loop()
    sockets: list[socket.socket] = []
    try:
        for _ in range(count):
            raw = socket.socket()
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
            raw.setblocking(False)
            sockets.append(raw)
            await loop.sock_connect(raw, ("127.0.0.1", port))
            if sent:
                await loop.sock_sendall(raw, sent)
        yield sockets
    finally:
        for raw in sockets:
            raw.close()


async def gaps_of(gateway: GatewayProcess, model: str) -> list[float]:
    """Read a paced stream; return the seconds between its chunks."""
    async with gateway.client() as client:
        await client.post(CHAT, {**chat(tokens=100, gap_ms=10), "model": model})
        answer = await client.answer()
    assert answer.clean
    arrivals = [at for at, _ in answer.chunks]
    return [later - sooner for sooner, later in itertools.pairwise(arrivals)]


def p99(values: list[float]) -> float:
    """Return the 99th percentile."""
    return sorted(values)[int(len(values) * 0.99)]


def settled(read: Any, seconds: float = 0.7) -> Any:
    """Return a condition: what `read` gives has not grown by a MiB for `seconds`."""
    state = {"last": 0.0, "since": time.monotonic()}

    def still() -> bool:
        value, now = read(), time.monotonic()
        if value > state["last"] + 1:
            state.update(last=value, since=now)
        return now - state["since"] >= seconds

    return still


@pytest.mark.fault("F45")
@pytest.mark.timeout(240)
@pytest.mark.asyncio
async def test_readers_that_never_read_cost_a_bounded_memory_and_disturb_nobody(
    tmp_path: Path,
) -> None:
    seconds = 20 if FULL else 3
    async with Simulator() as simulator, Hosing() as hosing:
        config = {
            "server": {"write_seconds": seconds},
            "upstreams": [
                {"name": "sim", "kind": "sim", "base_url": simulator.url, "models": ["paced"]},
                {"name": "hose", "kind": "sim", "base_url": hosing.url, "models": ["hose"]},
            ],
        }
        async with serving(tmp_path, simulator, config=config) as gateway:
            await gateway.ask(CHAT, {**chat(tokens=50), "model": "paced"})
            before = await gaps_of(gateway, "paced")
            rss = gateway.resident_mib()
            hose = request({**chat(), "model": "hose"})
            async with connected(gateway.port, READERS, hose):
                await until(settled(gateway.resident_mib), 60)
                grown = gateway.resident_mib() - rss
                during = await gaps_of(gateway, "paced")
                rows = await closed_rows(tmp_path, READERS + 3, 60)
        await until(lambda: Hose.open == 0)
    print(
        f"{READERS} readers: {grown * 1024 / READERS:.0f} KiB each; gap p99"
        f" {p99(before) * 1000:.1f} ms before, {p99(during) * 1000:.1f} ms with them"
    )
    assert grown * 1024 <= READERS * READER_KIB
    in_time(p99(during), max(5 * p99(before), 0.05))
    cut = [row for row in rows if row["requested_model"] == "hose"]
    assert len(cut) == READERS
    assert {row["status"] for row in cut} == {"client_disconnected"}
    assert all("slow_reader" in row["anomalies"] for row in cut)
    assert max(row["bytes_in"] for row in cut) < 2 * 1024 * 1024


@pytest.mark.fault("F46")
@pytest.mark.parametrize("how", ["header", "body"])
@pytest.mark.asyncio
async def test_a_dripping_client_is_refused_and_leaves_a_row_only_when_its_head_came(
    how: str, tmp_path: Path
) -> None:
    config = {"server": {"header_seconds": 1, "body_seconds": 1}}
    head = b"POST /v1/messages HTTP/1.1\r\nhost: 127.0.0.1\r\n"
    async with stand(tmp_path, config=config) as it, it.client() as client:
        client.writer.write(head if how == "header" else head + b"content-length: 500\r\n\r\n")
        dripping = asyncio.create_task(drip(client.writer))
        answer = await asyncio.wait_for(client.answer(), 10)
        dripping.cancel()
        rows = await it.rows()
        assert not it.simulator.begun
    error = answer.json()["error"]
    assert (answer.status, error["code"]) == (408, "bad_request")
    assert answer.headers["connection"] == "close"
    told = [(row["status"], row["http_status"], row["error_code"]) for row in rows]
    assert told == ([] if how == "header" else [("rejected", 408, "bad_request")])


async def drip(writer: asyncio.StreamWriter) -> None:
    """Send a byte now and then: the fault itself, no synchronisation."""
    while True:
        await asyncio.sleep(0.1)
        writer.write(b"x")


def descriptors_allow(count: int) -> bool:
    """Raise the limit of this process and say whether it has `count` sockets to spare."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard == resource.RLIM_INFINITY or hard > count + 500


@pytest.mark.fault("F47")
@pytest.mark.timeout(240)
@pytest.mark.asyncio
async def test_idle_connections_cost_little_and_stand_in_nobodys_way(tmp_path: Path) -> None:
    assert descriptors_allow(IDLE), "raise the hard limit on descriptors"
    async with Simulator() as simulator, serving(tmp_path, simulator) as gateway:
        await gateway.ask(CHAT, chat(tokens=50))
        first = gateway.resident_mib()
        async with connected(gateway.port, IDLE):
            took: list[float] = []
            for _ in range(20):
                began = time.monotonic()
                answer = await gateway.ask(CHAT, chat(tokens=3))
                took.append(time.monotonic() - began)
                assert (answer.status, answer.clean) == (200, True)
            each = (gateway.resident_mib() - first) * 1024 / IDLE
            began = gateway.cpu_seconds()
            await asyncio.sleep(1.0)  # what is measured: the cost of doing nothing for a second
            spent = gateway.cpu_seconds() - began
        rows = await closed_rows(tmp_path, 21)
    print(
        f"{IDLE} idle: {each:.1f} KiB each, a call {statistics.median(took) * 1000:.1f} ms,"
        f" {spent * 100:.0f} % of a processor; without them {first:.0f} MiB"
    )
    assert first < IDLE_RSS_MIB
    assert each <= IDLE_KIB
    in_time(spent, 0.3)
    assert {row["status"] for row in rows} == {"completed"}


@pytest.mark.timeout(240)
@pytest.mark.asyncio
async def test_a_held_stream_costs_little_memory(tmp_path: Path) -> None:
    assert descriptors_allow(2 * HELD), "raise the hard limit on descriptors"
    held = request(chat(tokens=1000, first_ms=1, gap_ms=60_000))
    async with Simulator() as simulator, serving(tmp_path, simulator) as gateway:
        await gateway.ask(CHAT, chat(tokens=50))
        async with connected(gateway.port, HELD // 10, held):
            await until(lambda: len(simulator.begun) == 1 + HELD // 10, 60)
            first = gateway.resident_mib()
            async with connected(gateway.port, HELD, held) as sockets:
                loop = asyncio.get_running_loop()
                for raw in sockets:
                    got = b""
                    while b'"content":"w0"' not in got:
                        data = await loop.sock_recv(raw, 65536)
                        assert data, got
                        got += data
                each = (gateway.resident_mib() - first) * 1024 / HELD
    print(f"{HELD} held streams: {each:.1f} KiB each")
    assert each <= HELD_KIB
