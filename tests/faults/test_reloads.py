"""Reloads while streams run, seed by seed: F6 and F7. Each mistake by itself is in `tests/e2e/test_reload.py`."""

from __future__ import annotations

import asyncio
import json
import random
from pathlib import Path
from typing import Any

import pytest

from streamgauge.config.problems import ConfigError

from ..config.mistakes import MISTAKES
from ..e2e.stand import Stand, frames_of, until
from ..e2e.test_reload import Change, changing
from .trial import dice_of, seeded

CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"
YAML = [mistake for mistake in MISTAKES if mistake.suffix == "yaml"]


def price(dice: random.Random) -> dict[str, str]:
    """Return a price by the dice."""
    return {
        "input": str(dice.randint(1, 99)),
        "output": str(dice.randint(1, 99)),
        "currency": "USD",
    }


def spoilt(dice: random.Random, good: str) -> str:
    """Return a file that is no configuration: a known mistake, a torn file, a wrong type."""
    torn = good[: dice.randrange(1, len(good) - 1)]
    wrong = good.replace('"sim"', dice.choice(("17", "[]", '"simm"')), 1)
    return dice.choice((dice.choice(YAML).text, torn, wrong))


async def streams(on: Stand, dice: random.Random) -> list[asyncio.Task[Any]]:
    """Begin a few streams of both dialects, and wait until each has content."""
    before = len(on.simulator.begun)
    tasks = []
    for _ in range(dice.randint(1, 5)):
        sim = {"tokens": dice.randint(40, 60), "gap_ms": dice.randint(5, 8)}
        messages = [{"role": "user", "content": "hi"}]
        body = {"model": "m", "stream": True, "max_tokens": 99, "messages": messages, "sim": sim}
        tasks.append(asyncio.create_task(on.ask(dice.choice((CHAT, MESSAGES)), body)))
    begun = on.simulator.begun
    await until(lambda: [e.frames > 2 for e in begun[before:]] == [True] * len(tasks))
    return tasks


async def rows_of(on: Stand, tasks: list[asyncio.Task[Any]]) -> list[dict[str, Any]]:
    """Return the rows of streams that came whole."""
    answers = await asyncio.gather(*tasks)
    assert all(answer.clean for answer in answers)
    assert all(b'"error"' not in frames_of(answer.body)[-1] for answer in answers)
    return [await on.row(answer.id) for answer in answers]


async def configured(change: Change, dice: random.Random, name: str) -> tuple[str, dict[str, str]]:
    """Load a configuration with one upstream of this name; return its version and price."""
    chosen = price(dice)
    version = await change.to(upstreams=[change.upstream(name)], prices=[chosen])
    return version, chosen


@pytest.mark.fault("F6")
@seeded
@pytest.mark.asyncio
async def test_a_bad_file_changes_nothing(seed: int, tmp_path: Path) -> None:
    dice = dice_of("F6", seed)
    async with changing(tmp_path) as change:
        on = change.on
        version, paid = await configured(change, dice, "first")
        running = await streams(on, dice)
        change.file.write_text(spoilt(dice, change.file.read_text()))
        with pytest.raises(ConfigError):
            await change.reloader.reload("test")
        page = (await on.get("/readyz")).json()
        rows = await rows_of(on, [*running, *await streams(on, dice)])
    assert {(row["status"], row["config_version"]) for row in rows} == {("completed", version)}
    assert {json.dumps(row["price"]["output"]) for row in rows} == {json.dumps(paid["output"])}
    assert change.reloader.counts["refused"] == 1
    assert page["ready"]
    assert (page["config"]["state"], page["config"]["version"]) == ("stale", version)


@pytest.mark.fault("F7")
@seeded
@pytest.mark.asyncio
async def test_running_streams_keep_route_price_and_version(seed: int, tmp_path: Path) -> None:
    dice = dice_of("F7", seed)
    names = ("first", "second") if seed % 2 else ("first", "first")
    async with changing(tmp_path) as change:
        on = change.on
        before = await configured(change, dice, names[0])
        running = await streams(on, dice)
        after = await configured(change, dice, names[1])
        later = await streams(on, dice)
        old, new = await rows_of(on, running), await rows_of(on, later)
    for rows, name, (version, paid) in ((old, names[0], before), (new, names[1], after)):
        for row in rows:
            assert (row["status"], row["upstream"]) == ("completed", name)
            assert (row["config_version"], row["price"]["output"]) == (version, paid["output"])
