"""Clocks that jump and a loop that stands still: durations stay right, and the row says so."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import Any

import pytest

from ..timed import in_time
from .stand import Stand, stand, until

CHAT = "/v1/chat/completions"
HOUR = 3600
BLOCKED = 5.0 if os.environ.get("STREAMGAUGE_FULL") else 1.5
PACED = {"tokens": 20, "gap_ms": 15}
PACED_MS = 300


def chat(**sim: Any) -> dict[str, Any]:
    """Return a streaming request that asks `sim` of the simulator."""
    messages = [{"role": "user", "content": "hi"}]
    return {"model": "sim", "stream": True, "messages": messages, "sim": sim}


async def row_after(it: Stand, seconds: float, **sim: Any) -> dict[str, Any]:
    """Run a stream in whose middle the wall clock jumps by `seconds`; return its row."""
    async with it.client() as client:
        await client.post(CHAT, chat(**sim))
        await client.head()
        await client.chunk()
        it.wall = lambda: time.time_ns() // 1000 + int(seconds * 1e6)
        while await client.chunk():
            pass
    await until(lambda: len(it.notes.records) == 1)
    return await it.row(next(iter(it.notes.records)))


@pytest.mark.fault("F48")
@pytest.mark.parametrize("jump", [HOUR, -HOUR])
@pytest.mark.asyncio
async def test_a_wall_clock_that_jumps_harms_no_duration(jump: int, tmp_path: Path) -> None:
    async with stand(tmp_path) as it:
        row = await row_after(it, jump, **PACED)
    assert row["status"] == "completed"
    assert row["anomalies"] == ["clock_jump"]
    assert row["stream_duration_ms"] >= PACED_MS * 0.8
    in_time(row["stream_duration_ms"], PACED_MS * 5)
    assert 0 <= row["latency_ms"] <= row["first_byte_ms"] <= row["ttft_ms"]
    assert row["ttft_ms"] < row["stream_duration_ms"]
    took = row["finished_at"] - row["started_at"]
    assert row["stream_duration_ms"] * 1000 <= took <= PACED_MS * 5 * 1000


@pytest.mark.fault("F48")
@pytest.mark.parametrize("jump", [HOUR, -HOUR])
@pytest.mark.asyncio
async def test_exchanges_after_the_jump_are_as_ever(jump: int, tmp_path: Path) -> None:
    async with stand(tmp_path) as it:
        await it.ask(CHAT, chat(tokens=1))
        it.wall = lambda: time.time_ns() // 1000 + jump * 1_000_000
        answer = await it.ask(CHAT, chat(tokens=1))
        row = await it.row(answer.id)
    assert row["anomalies"] == []
    assert abs(row["started_at"] / 1e6 - time.time() - jump) < 30


@pytest.mark.asyncio
async def test_a_clock_that_is_set_by_a_second_is_no_jump(tmp_path: Path) -> None:
    async with stand(tmp_path) as it:
        row = await row_after(it, -1.0, **PACED)
    assert row["anomalies"] == []


def stand_still() -> None:
    """Block the event loop, as a call that should not be there would."""
    time.sleep(BLOCKED)


@pytest.mark.fault("F9")
@pytest.mark.asyncio
async def test_a_blocked_loop_is_told_of_with_its_place_and_noted_on_what_ran(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with stand(tmp_path) as it:
        asyncio.get_running_loop().call_later(0.4, stand_still)
        running = await it.ask(CHAT, chat(tokens=40, gap_ms=20))
        assert it.gateway.loop_lag_ms >= 1000
        later = await it.ask(CHAT, chat(tokens=5, gap_ms=5))
        rows = [await it.row(answer.id) for answer in (running, later)]
    assert [row["anomalies"] for row in rows] == [["loop_lag"], []]
    assert [row["status"] for row in rows] == ["completed"] * 2
    assert rows[0]["gap_max_ms"] >= BLOCKED * 1000
    told = [record.getMessage() for record in caplog.records]
    (blocked,) = (line for line in told if line.startswith("loop_blocked "))
    assert "test_clock.py" in blocked
    assert " stand_still" in blocked
    assert sum(line.startswith("loop_stalled ") for line in told) == 1


@pytest.mark.asyncio
async def test_an_end_that_waited_behind_the_blocked_loop_is_noted_too(tmp_path: Path) -> None:
    async with stand(tmp_path) as it:
        asyncio.get_running_loop().call_later(0.3, time.sleep, 1.5)
        answer = await it.ask(CHAT, chat(tokens=35, gap_ms=10))
        row = await it.row(answer.id)
    assert row["anomalies"] == ["loop_lag"]


@pytest.mark.asyncio
async def test_a_short_stop_is_no_stall(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with stand(tmp_path) as it:
        asyncio.get_running_loop().call_later(0.1, time.sleep, 0.4)
        answer = await it.ask(CHAT, chat(tokens=20, gap_ms=20))
        row = await it.row(answer.id)
        assert it.gateway.loop_lag_ms >= 100
    assert row["anomalies"] == []
    assert not [line for line in caplog.messages if line.startswith("loop_")]
