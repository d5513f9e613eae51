"""Clients that leave: what becomes of the upstream's call, of the row, and of what was held open."""

from __future__ import annotations

import asyncio
import gc
import os
import random
import socket
import struct
import time
from pathlib import Path
from typing import Any

import pytest

from ..timed import in_time
from .stand import Client, Stand, frames_of, stand, until

CHAT = "/v1/chat/completions"
CLOSED_WITHIN = 0.5  # SPEC §11.1
LEAVES = ("fin", "reset")
TALKING = {"tokens": 5000, "gap_ms": 5}
# Where the stream stands when its client leaves: what the upstream does, and the frames read first.
MOMENTS: dict[str, tuple[dict[str, Any], int]] = {
    "silent, before the headers": ({"head_ms": 30_000}, 0),
    "silent, before the first token": ({"first_ms": 30_000}, 1),
    "pinging, before the first token": ({"fault": "ping_only", "gap_ms": 5}, 0),
    "silent, after the first token": ({"fault": "stall", "after": 2}, 3),
    "talking, after the first token": (TALKING, 3),
}


def chat(**sim: Any) -> dict[str, Any]:
    """Return a streaming request that asks `sim` of the simulator."""
    messages = [{"role": "user", "content": "hi"}]
    return {"model": "sim", "stream": True, "messages": messages, "sim": sim}


def leave(client: Client, how: str) -> float:
    """Close the connection by FIN or reset; return the wall time of it in seconds."""
    if how == "reset":
        peer: socket.socket = client.writer.get_extra_info("socket")
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.abort()
    return time.time()


async def read_frames(client: Client, count: int) -> None:
    """Read the head and at least `count` data frames; with 0 read nothing."""
    if not count:
        return
    await client.head()
    got = b""
    while len(frames_of(got)) < count:
        piece = await client.chunk()
        assert piece, "the stream ended early"
        got += piece


async def left_row(it: Stand) -> dict[str, Any]:
    """Wait for the only row, and return it."""
    await until(lambda: len(it.notes.records) == 1)
    return await it.row(next(iter(it.notes.records)))


@pytest.mark.fault("F41")
@pytest.mark.parametrize("how", LEAVES)
@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.asyncio
async def test_cancel_closes_the_upstream_within_half_a_second(
    moment: str, how: str, tmp_path: Path
) -> None:
    sim, frames = MOMENTS[moment]
    async with stand(tmp_path, on_disconnect="cancel") as it, it.client() as client:
        await client.post(CHAT, chat(**sim))
        await until(lambda: len(it.simulator.begun) == 1)
        await read_frames(client, frames)
        left_at = leave(client, how)
        entry = await asyncio.wait_for(it.simulator.until_ended(1), 5)
        assert entry.ending == "client_closed"
        assert entry.closed_at is not None
        in_time(entry.closed_at - left_at, CLOSED_WITHIN)
        row = await left_row(it)
        assert not it.gateway.relays
    assert (row["status"], row["success"]) == ("client_disconnected", False)
    assert row["disposition"] == "cancelled"
    assert row["delivered"] == ("part" if frames else "none")
    if "tokens" in sim:
        assert row["usage_source"] == "counted"
        assert 2 <= row["output_tokens"] <= entry.completion_tokens


@pytest.mark.fault("F41")
@pytest.mark.parametrize("how", LEAVES)
@pytest.mark.asyncio
async def test_a_drain_books_the_numbers_of_the_provider(how: str, tmp_path: Path) -> None:
    async with (
        stand(tmp_path, flavour="openai", on_disconnect="drain") as it,
        it.client() as client,
    ):
        await client.post(CHAT, chat(tokens=60, gap_ms=5))
        await read_frames(client, 3)
        leave(client, how)
        entry = await asyncio.wait_for(it.simulator.until_ended(1), 5)
        row = await left_row(it)
    assert entry.ending == "complete"
    assert (row["status"], row["success"]) == ("client_disconnected", True)
    assert (row["disposition"], row["delivered"]) == ("drained", "part")
    assert (row["usage_source"], row["input_source"]) == ("provider", "provider")
    assert (row["input_tokens"], row["output_tokens"]) == (entry.prompt_tokens, 60)
    assert "drain_capped" not in row["anomalies"]
    assert 0 < row["drain_ms"] < 5000
    assert row["frames_out"] < row["frames_in"]


@pytest.mark.parametrize("bound", [{"max_seconds": 1}, {"max_tokens": 20}])
@pytest.mark.asyncio
async def test_a_drain_beyond_its_bound_is_capped(bound: dict[str, int], tmp_path: Path) -> None:
    async with stand(tmp_path, on_disconnect="drain", drain=bound) as it, it.client() as client:
        await client.post(CHAT, chat(**TALKING))
        await read_frames(client, 2)
        leave(client, "fin")
        entry = await asyncio.wait_for(it.simulator.until_ended(1), 5)
        row = await left_row(it)
    assert entry.ending == "client_closed"
    assert (row["status"], row["success"]) == ("client_disconnected", False)
    assert row["disposition"] == "drain_capped"
    assert "drain_capped" in row["anomalies"]
    assert row["usage_source"] == "counted"
    if "max_seconds" in bound:
        assert 1000 <= row["drain_ms"] <= 1500
    else:
        assert 20 <= row["output_tokens"] <= 40


@pytest.mark.fault("F43")
@pytest.mark.asyncio
async def test_no_more_streams_drain_at_once_than_allowed(tmp_path: Path) -> None:
    bounds = {"max_streams": 20, "max_seconds": 10}
    async with stand(tmp_path, flavour="openai", on_disconnect="drain", drain=bounds) as it:
        clients = [Client(*await asyncio.open_connection("127.0.0.1", it.port)) for _ in range(50)]
        for client in clients:
            await client.post(CHAT, chat(tokens=200, gap_ms=10))
        for client in clients:
            await read_frames(client, 2)
        for client in clients:
            leave(client, "fin")
        rows = await _closed_rows(it, 50)
        assert all(up.drains == 0 for up in it.gateway.upstreams.values())
    ended = sorted(row["disposition"] for row in rows)
    assert ended == ["drain_capped"] * 30 + ["drained"] * 20
    assert {r["usage_source"] for r in rows if r["disposition"] == "drained"} == {"provider"}


async def _closed_rows(it: Stand, count: int) -> list[dict[str, Any]]:
    await until(lambda: len(it.notes.records) >= count, 20)
    return [await it.row(request_id) for request_id in list(it.notes.records)]


def _held(it: Stand) -> dict[str, int]:
    gc.collect()
    return {
        "tasks": len(asyncio.all_tasks()),
        "descriptors": len(os.listdir("/proc/self/fd")),
        "upstream connections": it.gateway.pool.stats().open,
    }


async def _until_no_more_is_held(it: Stand, before: dict[str, int]) -> None:
    """Wait for the baseline; less is well, too: another test's last sockets may have gone."""
    deadline = time.monotonic() + 10
    while any((now := _held(it))[name] > count for name, count in before.items()):
        assert time.monotonic() < deadline, f"held before: {before}, now: {now}"
        await asyncio.sleep(0.02)


async def _one_of_the_storm(it: Stand, dice: random.Random, number: int) -> str:
    """Run one stream; return "whole" or how it was left."""
    sim = {"tokens": dice.randint(1, 40), "gap_ms": dice.choice((0, 1, 3)), "call_id": str(number)}
    if dice.random() < 0.2:
        sim["head_ms"] = dice.randint(1, 60)
    patience = dice.expovariate(1 / 0.05)
    how = dice.choice((*LEAVES, "whole"))
    async with it.client() as client:
        await client.post(CHAT, chat(**sim))
        if how == "whole":
            answer = await client.answer()
            assert frames_of(answer.body)[-1] == b"[DONE]"
            return how
        try:
            await asyncio.wait_for(client.answer(), patience)
        except TimeoutError:
            leave(client, how)
            return how
        return "whole"


@pytest.mark.asyncio
async def test_after_a_storm_of_leaving_clients_everything_is_at_its_baseline(
    tmp_path: Path,
) -> None:
    dice = random.Random(7)
    at_once = asyncio.Semaphore(60)

    async def one(number: int) -> str:
        async with at_once:
            return await _one_of_the_storm(it, dice, number)

    async with stand(tmp_path, on_disconnect="cancel") as it:
        await it.ask(CHAT, chat(tokens=1))
        await until(lambda: not it.gateway.relays and it.gateway.pool.stats().open == 0, 8)
        before = _held(it)
        ends = await asyncio.gather(*(one(number) for number in range(500)))
        assert min(ends.count(how) for how in (*LEAVES, "whole")) > 50
        await until(lambda: not it.gateway.relays)
        await _until_no_more_is_held(it, before)
        rows = await it.rows()
        left = [entry.ending for entry in it.simulator.begun]
    assert len(rows) == len({row["id"] for row in rows})
    assert len(rows) >= ends.count("whole") + 1
    assert all(row["status"] in ("completed", "client_disconnected") for row in rows)
    assert None not in left
    assert len([r for r in rows if r["status"] == "completed"]) >= ends.count("whole")


@pytest.mark.fault("F44")
@pytest.mark.asyncio
async def test_with_half_close_a_fin_only_ends_the_request(tmp_path: Path) -> None:
    config = {"server": {"half_close": True}}
    async with stand(tmp_path, config=config) as it, it.client() as client:
        await client.post(CHAT, chat(tokens=20, gap_ms=5))
        client.writer.write_eof()
        answer = await client.answer()
        row = await it.row(answer.id)
    assert answer.clean
    assert frames_of(answer.body)[-1] == b"[DONE]"
    assert (row["status"], row["output_tokens"]) == ("completed", 20)


@pytest.mark.fault("F44")
@pytest.mark.asyncio
async def test_without_half_close_a_fin_means_that_the_client_has_left(tmp_path: Path) -> None:
    async with stand(tmp_path) as it, it.client() as client:
        await client.post(CHAT, chat(**TALKING))
        await read_frames(client, 2)
        client.writer.write_eof()
        await asyncio.wait_for(it.simulator.until_ended(1), 2)
        row = await left_row(it)
    assert row["status"] == "client_disconnected"
