"""kill -9 at any instant: no upstream call without its row, none twice, none left open (F1, F2)."""

from __future__ import annotations

import asyncio
import collections
import os
import random
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path

import pytest

from streamgauge.tools.simulator import Simulator

from .process import GatewayProcess, serving
from .stand import frames_of

FULL = os.environ.get("STREAMGAUGE_FULL") == "1"
CI = os.environ.get("CI") == "true"
ROUNDS = 500 if FULL else 40 if CI else 8
SEED = int(os.environ.get("STREAMGAUGE_CRASH_SEED") or 20)
CLIENTS = 6
SECONDS_A_ROUND = 5  # many times what one takes on a loaded machine
CHAT = "/v1/chat/completions"


def keys_seen(simulator: Simulator) -> list[str]:
    """Return the idempotency key, `<request id>-<attempt>`, of every metered call that was read."""
    headers = [dict(request.headers) for request in simulator.requests]
    return [each["idempotency-key"] for each in headers if "idempotency-key" in each]


def request_of(dice: random.Random) -> dict[str, object]:
    """Return a short request by the dice."""
    messages = [{"role": "user", "content": "hi"}]
    sim = {"tokens": dice.randint(0, 30), "gap_ms": dice.choice((0, 1, 4))}
    return {"model": "sim", "stream": dice.random() < 0.8, "messages": messages, "sim": sim}


async def _client(gateway: GatewayProcess, dice: random.Random, whole: set[str]) -> None:
    """Ask for one stream after the other until the gateway dies; note the ids that came whole."""
    while True:
        body = request_of(dice)
        try:
            answer = await gateway.ask(CHAT, body)
        except (OSError, asyncio.IncompleteReadError):
            return
        if not answer.clean:
            return
        assert answer.status == 200
        if body["stream"]:
            assert frames_of(answer.body)[-1] == b"[DONE]"
        whole.add(answer.id)


async def _to_its_usage(
    gateway: GatewayProcess, dice: random.Random, whole: set[str], seen: asyncio.Event
) -> None:
    """Read one stream, and say so when its final usage or its marker has come."""
    body = request_of(dice) | {"stream": True, "stream_options": {"include_usage": True}}
    wanted = dice.choice((b'"completion_tokens"', b"[DONE]"))
    try:
        async with gateway.client() as client:
            await client.post(CHAT, body)
            _, headers = await client.head()
            while piece := await client.chunk():
                if wanted in piece:
                    seen.set()
            if piece == b"":
                whole.add(headers["x-request-id"])
    except (OSError, asyncio.IncompleteReadError):
        return


# --- the instants ----------------------------------------------------------------------------------

Kill = Callable[[GatewayProcess, random.Random, set[str]], Awaitable[None]]


async def under_load(gateway: GatewayProcess, dice: random.Random, whole: set[str]) -> None:
    """Kill at a random instant under load."""
    async with asyncio.TaskGroup() as load:
        for _ in range(CLIENTS):
            load.create_task(_client(gateway, dice, whole))
        await asyncio.sleep(dice.uniform(0.0, 0.4))  # the instant: nothing is waited for
        await gateway.kill()


async def behind_the_usage(gateway: GatewayProcess, dice: random.Random, whole: set[str]) -> None:
    """Kill when the first of several streams has its final usage: its row is about to be closed."""
    seen = asyncio.Event()
    async with asyncio.TaskGroup() as load:
        for _ in range(CLIENTS):
            load.create_task(_to_its_usage(gateway, dice, whole, seen))
        await asyncio.wait_for(seen.wait(), SECONDS_A_ROUND)
        if dice.random() < 0.5:
            await asyncio.sleep(dice.uniform(0.0, 0.006))
        await gateway.kill()


async def at_the_begin(gateway: GatewayProcess, dice: random.Random, whole: set[str]) -> None:
    """Kill within the milliseconds in which the open rows are being committed."""
    async with asyncio.TaskGroup() as load:
        for _ in range(CLIENTS):
            load.create_task(_client(gateway, dice, whole))
        await asyncio.sleep(dice.uniform(0.0, 0.012))
        await gateway.kill()


INSTANTS: tuple[Kill, ...] = (under_load, behind_the_usage, at_the_begin)
OF_USAGE = len([n for n in range(ROUNDS) if n % 4 == 1])


async def _killed_while_starting(folder: Path, dice: random.Random, takes: float) -> None:
    """Start on what the last kill left, and kill the start, its recovery included."""
    arguments = ("--config", str(folder / "streamgauge.yaml"), "--port", "0")
    gateway = await GatewayProcess.launch(*arguments, cwd=folder)
    await asyncio.sleep(dice.uniform(0.3, 1.0) * takes)
    await gateway.kill()


async def _round(
    number: int, folder: Path, dice: random.Random, seen: list[str], whole: set[str]
) -> None:
    """Start on what the last kill left, check it, load, and kill at an instant of some kind."""
    async with Simulator() as simulator, serving(folder, simulator) as gateway:
        check_books(folder, seen, whole)
        kind = number % 4
        await INSTANTS[kind % 3](gateway, dice, whole)
        if kind == 3:
            await _killed_while_starting(folder, dice, gateway.ready_seconds)
        seen += keys_seen(simulator)


def _table(folder: Path, query: str) -> list[tuple[str, str | int, str | int | None]]:
    uri = f"file:{folder / 'ledger.db'}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True)) as connection:
        return list(connection.execute(query))


def check_books(folder: Path, seen: list[str], whole: set[str]) -> None:
    """Join what the upstream saw with the ledger of a gateway that has just started on it."""
    rows = _table(folder, "SELECT id, status, finished_at FROM requests")
    attempts = _table(folder, "SELECT request_id, n, outcome FROM attempts")
    ids = collections.Counter(name for name, _, _ in rows)
    tries = collections.Counter(f"{request_id}-{n}" for request_id, n, _ in attempts)
    assert len(seen) == len(set(seen)), "one call went upstream twice"
    assert max(ids.values(), default=1) == 1
    assert max(tries.values(), default=1) == 1
    assert not set(seen) - set(tries), "an upstream call without an attempt"
    assert not {key.rpartition("-")[0] for key in seen} - set(ids), "an upstream call without a row"
    assert not whole - set(ids), "an answer without a row"
    assert {status for _, status, _ in rows} <= {"completed", "gateway_crash"}
    assert all(finished is not None for _, _, finished in rows), "left open after the restart"
    assert all(outcome is not None for _, _, outcome in attempts)


@pytest.mark.fault("F1", seeds=ROUNDS - OF_USAGE)
@pytest.mark.fault("F2", seeds=OF_USAGE)
@pytest.mark.timeout(30 + SECONDS_A_ROUND * ROUNDS)
@pytest.mark.asyncio
async def test_no_kill_loses_doubles_or_leaves_a_row(tmp_path: Path) -> None:
    dice = random.Random(SEED)
    seen: list[str] = []
    whole: set[str] = set()
    for number in range(ROUNDS):
        await _round(number, tmp_path, dice, seen, whole)
    async with Simulator() as simulator, serving(tmp_path, simulator):
        check_books(tmp_path, seen, whole)
    statuses = _table(tmp_path, "SELECT status, count(*), 0 FROM requests GROUP BY status")
    tally = {status: count for status, count, _ in statuses}
    print(f"kill -9: seed={SEED} rounds={ROUNDS} calls={len(seen)} whole={len(whole)} {tally}")
    assert whole
    assert tally.get("gateway_crash"), "no kill met a stream: the rounds showed nothing"
