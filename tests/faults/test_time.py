"""A loop that stands still and a wall clock that jumps, seed by seed: F9 and F48."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from ..e2e.stand import Stand, until
from .trial import FULL, check_marker_end, dice_of, seeded, seeded_seldom, trial
from .upstream import End, head, in_chunks
from .wires import wire_of

LAST_CHUNK = b"0\r\n\r\n"
MOST_JUMP = 3600
NOTED_FROM = 1.0
"""Seconds of a stall from which on rows note it."""


@pytest.mark.fault("F9")
@seeded_seldom
@pytest.mark.asyncio
async def test_a_loop_that_stands_still_is_noted_on_what_ran(
    seed: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    dice = dice_of("F9", seed)
    wire = wire_of(dice)
    still = 5.0 if FULL and not seed else dice.uniform(1.5, 2.0)
    at = dice.choice(wire.contents)
    early, late = b"".join(wire.data()[:at]), b"".join(wire.data()[at:])
    steps = [head() + in_chunks(early), 0.4, in_chunks(late) + LAST_CHUNK, End.CLOSE]
    async with trial(tmp_path, lambda n: steps) as (it, upstream):
        running = asyncio.create_task(it.ask(wire.path, wire.request()))
        await until(lambda: bool(upstream.heard))
        asyncio.get_running_loop().call_later(dice.uniform(0.05, 0.2), time.sleep, still)
        answer = await running
        after = await it.ask(wire.path, wire.request())
        rows = [await it.row(each.id) for each in (answer, after)]
    check_marker_end(wire, answer)
    assert [row["status"] for row in rows] == ["completed", "completed"]
    assert ["loop_lag" in row["anomalies"] for row in rows] == [True, False]
    assert rows[0]["stream_duration_ms"] >= (still - NOTED_FROM) * 1000
    assert any(line.startswith("loop_blocked ") for line in caplog.messages), "with its stack"


@pytest.mark.fault("F48")
@seeded
@pytest.mark.asyncio
async def test_a_wall_clock_that_jumps_harms_no_duration(seed: int, tmp_path: Path) -> None:
    dice = dice_of("F48", seed)
    wire = wire_of(dice)
    jump = dice.choice((1, -1)) * dice.uniform(60, MOST_JUMP)
    at = dice.choice(wire.contents)
    early, late = b"".join(wire.data()[:at]), b"".join(wire.data()[at:])
    steps = [head() + in_chunks(early), 0.2, in_chunks(late) + LAST_CHUNK, End.CLOSE]
    async with trial(tmp_path, lambda n: steps) as (it, _):
        running = asyncio.create_task(it.ask(wire.path, wire.request()))
        await until(lambda: any(relay.exchange.record.bytes_in for relay in _relays(it)))
        it.wall = lambda: time.time_ns() // 1000 + int(jump * 1e6)
        answer = await running
        after = await it.ask(wire.path, wire.request())
        rows = [await it.row(each.id) for each in (answer, after)]
    assert [row["status"] for row in rows] == ["completed", "completed"]
    assert ["clock_jump" in row["anomalies"] for row in rows] == [True, False]
    for row in rows:
        took = row["finished_at"] - row["started_at"]
        assert 200 <= row["stream_duration_ms"] <= took / 1000 < 30_000
        assert 0 <= row["latency_ms"] <= row["first_byte_ms"] <= row["ttft_ms"]
        assert row["ttft_ms"] <= row["stream_duration_ms"]


def _relays(it: Stand) -> list[Any]:
    return list(it.gateway.relays.values())
