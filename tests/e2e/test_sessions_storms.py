"""Many starters of one session at once: one lives, nobody hears another, and nothing is left (F50)."""

from __future__ import annotations

import asyncio
import os
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from streamgauge.gateway.runtime import Runtime, runtime_of

from .session_clients import (
    CHAT,
    MESSAGES,
    SESSION_MODE,
    SlowClosing,
    Stream,
    Told,
    begin,
    finish,
    first_of,
    talk,
)
from .stand import Client, Stand, stand, until

FULL = os.environ.get("STREAMGAUGE_FULL") == "1"
ROUNDS = 1000 if FULL else 20
SLOW_EACH = 50 if FULL else 10
"""Every so many rounds the clean-up of the old streams takes three seconds."""
CLEAN_UP_SECONDS = 3.0
STARTERS = 20
USERS, TURNS, OTHERS = 10, 21, 10
WITHIN = 0.5 * 5  # FAULTS F50, a loaded machine

pytestmark = [pytest.mark.asyncio, pytest.mark.timeout(1200 if FULL else 60)]


class Round:
    """Starters of one session, all at once; each has a connection and a word of its own."""

    def __init__(self, it: Stand, name: str, path: str) -> None:
        self.it, self.name, self.path = it, name, path
        self.told: dict[str, Told] = {}
        self.lives: str | None = None

    async def run(self) -> None:
        """Start them; when all but one have ended, hear a little more of that one and leave it."""
        words = [f"{self.name}.{n}" for n in range(STARTERS)]
        async with AsyncExitStack() as stack:
            clients = [await stack.enter_async_context(self.it.client()) for _ in words]
            pairs = list(zip(clients, words, strict=True))
            began = time.monotonic()
            for client, word in pairs:
                await client.post(self.path, talk(word), x_session_id=self.name)
            reading = {asyncio.create_task(self._read(*pair)) for pair in pairs}
            await until(lambda: len(self.told) == STARTERS - 1, WITHIN * 2)
            took = time.monotonic() - began
            (stream,) = self.it.gateway.relays
            exchange = self.it.gateway.relays[stream].exchange
            heard = exchange.so_far(time.monotonic()).frames_out
            await until(lambda: (exchange.so_far(time.monotonic()).frames_out or 0) > (heard or 0))
            (left,) = [task for task in reading if not task.done()]
            left.cancel()
            await asyncio.gather(*reading, return_exceptions=True)
        assert took < WITHIN
        self.lives = stream
        await until(lambda: not self.it.gateway.relays)

    async def _read(self, client: Client, word: str) -> None:
        found = await first_of(client)
        told = await finish(found) if isinstance(found, Stream) else found
        assert told.is_of(word), told
        self.told[told.id] = told


async def at_rest(it: Stand, before: Runtime) -> Runtime:
    """Wait until all is as it was before; return the numbers."""
    names = ("streams", "registry", "drains", "sockets_client", "ledger_queue", "holds")

    def same() -> bool:
        now = runtime_of(it.gateway, None)
        return all(getattr(now, name) == getattr(before, name) for name in names)

    await until(same, 10)
    await until(lambda: runtime_of(it.gateway, None).tasks <= before.tasks)
    return runtime_of(it.gateway, None)


@pytest.mark.fault("F50", seeds=ROUNDS)
async def test_of_twenty_starters_exactly_one_lives_each_time(tmp_path: Path) -> None:
    slow: list[SlowClosing] = []

    def around(ledger: Any) -> SlowClosing:
        slow.append(SlowClosing(ledger, 0.0))
        return slow[0]

    async with stand(tmp_path, config=SESSION_MODE, around=around) as it:
        before = runtime_of(it.gateway, None)
        survivors = []
        for number in range(ROUNDS):
            slow[0].seconds = 0.0 if (number + 1) % SLOW_EACH else CLEAN_UP_SECONDS
            one = Round(it, f"r{number}", MESSAGES if number % 2 else CHAT)
            await one.run()
            assert {told.error for told in one.told.values()} == {"stream_cancelled"}
            assert len(one.told) == STARTERS - 1
            assert one.lives is not None
            assert one.lives not in one.told
            survivors.append(one.lives)
        await until(lambda: not slow[0].pending)
        rows = {row["id"]: row for row in await it.rows()}
        now = await at_rest(it, before)
    assert len(rows) == ROUNDS * STARTERS
    # The one that lived was left by its client at last: it had not been superseded.
    assert {rows.pop(stream)["status"] for stream in survivors} == {"client_disconnected"}
    assert {row["status"] for row in rows.values()} == {"superseded"}
    assert now.sockets_upstream - now.pool_idle <= 0


@pytest.mark.fault("F50")
async def test_the_one_that_lives_is_served_to_its_end(tmp_path: Path) -> None:
    async with stand(tmp_path, config=SESSION_MODE) as it, AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(it.client()) for _ in range(STARTERS)]
        for n, client in enumerate(clients):
            await client.post(CHAT, talk(f"w{n}", 120, 5), x_session_id="s")
        found = await asyncio.gather(*(first_of(client) for client in clients))
        told = [await finish(each) if isinstance(each, Stream) else each for each in found]
        rows = await it.rows()
    assert all(each.is_of(f"w{n}") for n, each in enumerate(told))
    assert sorted(str(each.error) for each in told) == ["None"] + ["stream_cancelled"] * 19
    assert sorted(row["status"] for row in rows) == ["completed"] + ["superseded"] * 19


async def turns(it: Stand, user: int, path: str) -> list[Told]:
    """Start stream after stream in one session, the next as soon as the last one has begun."""
    reading = []
    async with AsyncExitStack() as stack, asyncio.TaskGroup() as group:
        for turn in range(TURNS):
            client = await stack.enter_async_context(it.client())
            words = 400 if turn < TURNS - 1 else 10
            stream = await begin(client, path, talk(f"u{user}.{turn}", words), f"user-{user}")
            reading.append(group.create_task(finish(stream)))
    told = [task.result() for task in reading]
    for turn, each in enumerate(told):
        assert each.is_of(f"u{user}.{turn}"), each.text[:200]
    return told


async def test_two_hundred_supersedes_under_load_mix_nothing(tmp_path: Path) -> None:
    async with stand(tmp_path, config=SESSION_MODE) as it:
        before = runtime_of(it.gateway, None)
        async with AsyncExitStack() as stack, asyncio.TaskGroup() as group:
            others = []
            for n in range(OTHERS):
                client = await stack.enter_async_context(it.client())
                stream = await begin(client, (CHAT, MESSAGES)[n % 2], talk(f"other{n}", 400, 5))
                others.append(group.create_task(finish(stream)))
            users = [
                group.create_task(turns(it, user, (CHAT, MESSAGES)[user % 2]))
                for user in range(USERS)
            ]
        rows = {row["id"]: row for row in await it.rows()}
        await at_rest(it, before)
    told = [each for user in users for each in user.result()]
    assert [each.error for each in told].count("stream_cancelled") == USERS * (TURNS - 1) == 200
    for each in told:
        status = "completed" if each.error is None else "superseded"
        assert rows[each.id]["status"] == status
    for n, task in enumerate(others):
        assert task.result().error is None
        assert task.result().is_of(f"other{n}")
        assert len(task.result().text.split()) == 400
