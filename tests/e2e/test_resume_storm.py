"""Five hundred streams cut at a random frame and taken up again, some twice, some after the end."""

from __future__ import annotations

import asyncio
import os
import random
from pathlib import Path

import pytest

from streamgauge.core.keys import KeyLimits
from streamgauge.gateway.runtime import runtime_of

from .resuming import Reading, chat, config
from .stand import Stand, stand, until
from .test_leaving import LEAVES, leave
from .test_limits import Keyed

STREAMS = 2000 if os.environ.get("STREAMGAUGE_FULL") else 500
AT_ONCE = 40
OURS, THEIRS = "sk-sg-ours", "sk-sg-theirs"
AS_OURS = {"authorization": f"Bearer {OURS}"}
AS_THEIRS = {"authorization": f"Bearer {THEIRS}"}
BOUND = 4 << 20


async def _taken_up(it: Stand, dice: random.Random, number: int) -> tuple[str, Reading]:
    """Run one stream, cut once or twice, perhaps after its end; return how, and what was read."""
    words = [f"{number}.{n} " for n in range(dice.randint(4, 40))]
    gap = dice.choice((0, 1, 3))
    how = dice.choice(("once", "twice", "after the end", "with a foreign key"))
    reading = Reading()
    async with it.client() as client:
        await reading.begin(client, chat(text="".join(words), gap_ms=gap), **AS_OURS)
        await reading.read(client, dice.randint(1, len(words)))
        leave(client, dice.choice(LEAVES))
    if how == "after the end":
        entry = it.gateway.relays.get(reading.stream_id)
        await until(lambda: entry is None or entry.exchange.state.name != "STREAMING", 10)
    if how == "with a foreign key":
        answer = await it.get(f"/v1/streams/{reading.stream_id}/events?after=1", **AS_THEIRS)
        assert (answer.status, answer.json()["error"]["code"]) == (404, "no_route")
    if how == "twice":
        async with it.client() as client:
            assert await reading.take_up(it, client, by_header=True, **AS_OURS) in (200, 204)
            await reading.read(client, reading.seq + dice.randint(0, 5))
            leave(client, dice.choice(LEAVES))
    if not reading.ended:
        async with it.client() as client:
            by_header = dice.random() < 0.5
            assert await reading.take_up(it, client, by_header=by_header, **AS_OURS) in (200, 204)
            await reading.read(client)
    assert reading.ended
    assert reading.text == "".join(words)
    return how, reading


@pytest.mark.asyncio
async def test_cut_streams_are_whole_in_the_end_and_have_one_row_each(tmp_path: Path) -> None:
    dice = random.Random(11)
    at_once = asyncio.Semaphore(AT_ONCE)

    async def one(number: int) -> tuple[str, Reading]:
        async with at_once:
            return await _taken_up(it, dice, number)

    async with stand(tmp_path, config=config(30)) as it:
        keys = Keyed(it)
        keys.give(KeyLimits(), OURS)
        keys.give(KeyLimits(), THEIRS)
        runs = await asyncio.gather(*(one(number) for number in range(STREAMS)))
        await until(lambda: not it.gateway.relays)
        assert it.gateway.resuming.bytes <= 64 * BOUND
        rows = {row["id"]: row for row in await it.rows()}
        assert len(it.simulator.begun) == STREAMS
    assert len(rows) == STREAMS
    for _, reading in runs:
        row = rows[reading.stream_id]
        assert reading.numbers == list(range(1, row["frames_out"] + 1))
        assert (row["status"], row["delivered"]) == ("completed", "all")
    ways = [how for how, _ in runs]
    assert min(ways.count(how) for how in set(ways)) > STREAMS // 10
    assert len(set(ways)) == 4


@pytest.mark.asyncio
async def test_while_nobody_reads_no_more_is_kept_than_the_bound(tmp_path: Path) -> None:
    text = "".join(f"{n:0>2000} " for n in range(4000))  # 8 MB, twice the bound
    reading = Reading()
    async with stand(tmp_path, config=config(60)) as it:
        async with it.client() as client:
            await reading.begin(client, chat(text=text))
            await reading.read(client, 3)
            leave(client, "reset")
        sizes = [it.gateway.resuming.bytes]

        def look() -> bool:
            sizes.append(it.gateway.resuming.bytes)
            return bool(it.gateway.resuming.waiting)

        await until(look)
        seen = runtime_of(it.gateway, None)
        assert (seen.resume_buffers, seen.resume_bytes) == (1, it.gateway.resuming.bytes)
        assert BOUND // 2 < max(sizes) <= BOUND
        assert it.simulator.begun[0].ending is None
        async with it.client() as client:
            assert await reading.take_up(it, client) == 200
            while not reading.ended:
                await reading.read(client, reading.seq + 1)
                look()
        row = await it.row(reading.stream_id)
        assert max(sizes) <= BOUND
        late = await it.get(f"/v1/streams/{row['id']}/events")
        assert (late.status, late.json()["error"]["code"]) == (410, "no_route")
    assert reading.text == text
    assert reading.numbers == list(range(1, row["frames_out"] + 1))
    assert row["status"] == "completed"
