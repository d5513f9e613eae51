"""Many streams at once, very long ones, and readers that do not read: bodies, rows, speed, memory."""

from __future__ import annotations

import asyncio
import json
import socket
import statistics
import time
from pathlib import Path
from typing import Any

import pytest

from streamgauge.tools.simulator import Simulator

from ..timed import in_time
from .process import GatewayProcess, closed_rows, serving
from .stand import Answer, Client, frames_of, stand, until

CHAT = "/v1/chat/completions"
LENIENCY = 5  # a timing test asserts five times its figure
FRAMES_A_SECOND = 2000
ADDED_TTFT = 0.010
PAIRS = 30
MOST_HELD = 1024 * 1024
"""Bytes that fit between a paused upstream and its reader: our 64 KiB, one read more, and two
socket buffers, which the kernel makes twice as large as the 256 KiB that are asked for."""


def chat(**sim: Any) -> dict[str, Any]:
    """Return a streaming request that asks `sim` of the simulator, and for usage."""
    messages = [{"role": "user", "content": "hi there"}]
    options = {"include_usage": True}
    return {
        "model": "sim",
        "stream": True,
        "stream_options": options,
        "messages": messages,
        "sim": sim,
    }


def words(count: int) -> str:
    """Return the text of `count` tokens as the simulator makes it."""
    return " ".join(f"w{k}" for k in range(count))


def check_body(answer: Answer, tokens: int) -> None:
    """Look at every frame: the whole text in order, the usage, one end marker, a clean end."""
    *frames, last = frames_of(answer.body)
    assert answer.clean
    assert (answer.status, last) == (200, b"[DONE]")
    chunks = [json.loads(frame) for frame in frames]
    deltas = [choice["delta"] for chunk in chunks for choice in chunk["choices"]]
    assert "".join(delta.get("content") or "" for delta in deltas) == words(tokens)
    usage = [chunk["usage"] for chunk in chunks if chunk.get("usage")]
    assert [each["completion_tokens"] for each in usage] == [tokens]


def check_row(row: dict[str, Any], answer: Answer, tokens: int) -> None:
    """Compare the row with what the client got."""
    assert (row["status"], row["success"], row["delivered"]) == ("completed", True, "all")
    assert (row["usage_source"], row["output_tokens"]) == ("provider", tokens)
    assert row["frames_out"] == row["frames_in"] == len(frames_of(answer.body))
    assert row["bytes_out"] == len(answer.body)
    # A loop that hung for a second on a busy machine says so itself, and changes nothing else.
    assert set(row["anomalies"]) <= {"loop_lag"}


@pytest.mark.asyncio
async def test_one_long_stream_is_fast_whole_and_booked(tmp_path: Path) -> None:
    tokens = 20_000
    async with Simulator() as simulator, serving(tmp_path, simulator) as gateway:
        began = time.monotonic()
        answer = await gateway.ask(CHAT, chat(tokens=tokens))
        took = time.monotonic() - began
        rows = await closed_rows(tmp_path, 1)
    check_body(answer, tokens)
    check_row(rows[0], answer, tokens)
    print(f"frames/s={tokens / took:.0f}")
    assert tokens / took >= FRAMES_A_SECOND / LENIENCY


@pytest.mark.parametrize("streams", [10, 50, 100, 1000])
@pytest.mark.asyncio
async def test_streams_at_once_are_all_right(streams: int, tmp_path: Path) -> None:
    asked = [5 + number % 17 for number in range(streams)]
    async with Simulator() as simulator, serving(tmp_path, simulator) as gateway:
        bodies = (chat(tokens=tokens, first_ms=100, gap_ms=20) for tokens in asked)
        answers = await asyncio.gather(*(gateway.ask(CHAT, body) for body in bodies))
        rows = {row["id"]: row for row in await closed_rows(tmp_path, streams)}
        print(f"streams={streams} rss={gateway.resident_mib():.0f} MiB")
    assert len(rows) == len({answer.id for answer in answers}) == streams
    for answer, tokens in zip(answers, asked, strict=True):
        check_body(answer, tokens)
        check_row(rows[answer.id], answer, tokens)


async def _first_content(client: Client, **headers: str) -> float:
    """Ask for a short stream; return the seconds to its first content."""
    began = time.monotonic()
    await client.post(CHAT, chat(tokens=2, first_ms=5), **headers)
    answer = await client.answer()
    return next(at for at, piece in answer.chunks if b'"content":"w0"' in piece) - began


@pytest.mark.asyncio
async def test_the_gateway_adds_little_to_the_first_token(tmp_path: Path) -> None:
    through: list[float] = []
    direct: list[float] = []
    simulator = Simulator()
    await simulator.start(flavour="openai")
    async with simulator, serving(tmp_path, simulator) as gateway:
        upstream_port = int(simulator.url.rpartition(":")[2])
        straight = Client(*await asyncio.open_connection("127.0.0.1", upstream_port))
        async with gateway.client() as client:
            for _ in range(PAIRS):
                direct.append(await _first_content(straight))
                through.append(await _first_content(client))
        straight.abort()
        rows = await closed_rows(tmp_path, PAIRS)
    assert len(rows) == PAIRS
    added = statistics.median(through) - statistics.median(direct)
    print(f"added ttft p50={added * 1000:.2f} ms")
    in_time(added, ADDED_TTFT * LENIENCY)


async def _never_reading(gateway: GatewayProcess) -> socket.socket:
    """Ask for a long stream on a socket with a small buffer that nobody reads."""
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
    raw.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(raw, ("127.0.0.1", gateway.port))
    body = json.dumps(chat(tokens=50_000)).encode()
    head = f"POST {CHAT} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: {len(body)}\r\n\r\n"
    await loop.sock_sendall(raw, head.encode() + body)
    return raw


async def _until_it_stands_still(simulator: Simulator, seconds: float = 0.5) -> int:
    """Wait until the first call's bytes have not grown for `seconds`; return them."""
    last, since = -1, time.monotonic()

    def still() -> bool:
        nonlocal last, since
        now = simulator.begun[0].bytes if simulator.begun else -1
        if now != last:
            last, since = now, time.monotonic()
        return last > 0 and time.monotonic() - since >= seconds

    await until(still, 15)
    return last


@pytest.mark.fault("F45")
@pytest.mark.asyncio
async def test_a_reader_that_never_reads_pauses_its_own_upstream_only(tmp_path: Path) -> None:
    async with Simulator() as simulator, serving(tmp_path, simulator) as gateway:
        await gateway.ask(CHAT, chat(tokens=1000))
        before = gateway.resident_mib()
        simulator.begun.clear()
        raw = await _never_reading(gateway)
        sent = await _until_it_stands_still(simulator)
        grown = gateway.resident_mib() - before
        assert sent < 8 * 1024 * 1024, "the upstream was not paused"  # most of it is in its kernel
        answer = await gateway.ask(CHAT, chat(tokens=500))
        check_body(answer, 500)
        assert simulator.begun[0].bytes == sent
        print(f"stands still after {sent / 1024:.0f} KiB, grown by {grown:.1f} MiB")
        assert grown < 8
        raw.close()
        rows = await closed_rows(tmp_path, 3)
    assert sorted(row["status"] for row in rows) == ["client_disconnected", *["completed"] * 2]
    (left,) = (row for row in rows if row["status"] == "client_disconnected")
    print(f"read from the upstream: {left['bytes_in'] / 1024:.0f} KiB")
    assert left["bytes_in"] < MOST_HELD


@pytest.mark.fault("F45")
@pytest.mark.asyncio
async def test_a_reader_that_never_reads_is_cut_after_write_seconds(tmp_path: Path) -> None:
    config = {"server": {"write_seconds": 1}}
    async with (
        stand(tmp_path, config=config, on_disconnect="cancel") as it,
        it.client() as client,
    ):
        client.reader._transport.pause_reading()  # type: ignore[attr-defined]
        await client.post(CHAT, chat(tokens=100_000))
        entry = await asyncio.wait_for(it.simulator.until_ended(1), 10)
        await until(lambda: len(it.notes.records) == 1)
        row = await it.row(next(iter(it.notes.records)))
    assert entry.ending == "client_closed"
    assert row["status"] == "client_disconnected"
    assert "slow_reader" in row["anomalies"]
