"""kill -9 at any instant under load: no upstream call without its row, none twice, none left open."""

from __future__ import annotations

import asyncio
import collections
import os
import random
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from streamgauge.ledger.reader import Filter, LedgerReader
from streamgauge.tools.simulator import Simulator

from .process import GatewayProcess, serving
from .stand import frames_of

ROUNDS = 60 if os.environ.get("STREAMGAUGE_FULL") == "1" else 10
CLIENTS = 6
SECONDS_A_ROUND = 5  # many times what one takes on a loaded machine


def keys_seen(simulator: Simulator) -> list[str]:
    """Return the idempotency key, `<request id>-<attempt>`, of every metered call that was read."""
    headers = [dict(request.headers) for request in simulator.requests]
    return [each["idempotency-key"] for each in headers if "idempotency-key" in each]


async def _client(gateway: GatewayProcess, dice: random.Random, whole: set[str]) -> None:
    """Ask for one stream after the other until the gateway dies; note the ids that came whole."""
    messages = [{"role": "user", "content": "hi"}]
    while True:
        sim = {"tokens": dice.randint(0, 30), "gap_ms": dice.choice((0, 1, 4))}
        body = {"model": "sim", "stream": dice.random() < 0.8, "messages": messages, "sim": sim}
        try:
            answer = await gateway.ask("/v1/chat/completions", body)
        except (OSError, asyncio.IncompleteReadError):
            return
        if not answer.clean:
            return
        assert answer.status == 200
        if body["stream"]:
            assert frames_of(answer.body)[-1] == b"[DONE]"
        whole.add(answer.id)


async def _round(folder: Path, dice: random.Random, seen: list[str], whole: set[str]) -> None:
    """Start on what the last kill left, check it, load, and kill at a random instant."""
    async with Simulator() as simulator, serving(folder, simulator) as gateway:
        check_books(folder, seen, whole)
        async with asyncio.TaskGroup() as load:
            for _ in range(CLIENTS):
                load.create_task(_client(gateway, dice, whole))
            await asyncio.sleep(dice.uniform(0.0, 0.4))  # the instant: nothing is waited for
            await gateway.kill()
        seen += keys_seen(simulator)


def _rows(folder: Path) -> list[dict[str, Any]]:
    with LedgerReader(folder / "ledger.db") as reader:
        return list(reader.newest(Filter()))


def _attempts(folder: Path) -> list[tuple[str, int, str | None]]:
    uri = f"file:{folder / 'ledger.db'}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True)) as connection:
        return list(connection.execute("SELECT request_id, n, outcome FROM attempts"))


def check_books(folder: Path, seen: list[str], whole: set[str]) -> None:
    """Join what the upstream saw with the ledger of a gateway that has just started on it."""
    rows, attempts = _rows(folder), _attempts(folder)
    ids = collections.Counter(row["id"] for row in rows)
    tries = collections.Counter(f"{request_id}-{n}" for request_id, n, _ in attempts)
    assert len(seen) == len(set(seen)), "one call went upstream twice"
    assert max(ids.values(), default=1) == 1
    assert max(tries.values(), default=1) == 1
    assert not set(seen) - set(tries), "an upstream call without an attempt"
    assert not {key.rpartition("-")[0] for key in seen} - set(ids), "an upstream call without a row"
    assert not whole - set(ids), "an answer without a row"
    assert {row["status"] for row in rows} <= {"completed", "gateway_crash"}
    assert all(row["finished_at"] is not None for row in rows), "left open after the restart"
    assert all(outcome is not None for _, _, outcome in attempts)


@pytest.mark.timeout(30 + SECONDS_A_ROUND * ROUNDS)
@pytest.mark.asyncio
async def test_no_kill_loses_doubles_or_leaves_a_row(tmp_path: Path) -> None:
    dice = random.Random(20)
    seen: list[str] = []
    whole: set[str] = set()
    for _ in range(ROUNDS):
        await _round(tmp_path, dice, seen, whole)
    async with Simulator() as simulator, serving(tmp_path, simulator):
        check_books(tmp_path, seen, whole)
    crashed = [row for row in _rows(tmp_path) if row["status"] == "gateway_crash"]
    print(f"rounds={ROUNDS} calls={len(seen)} whole={len(whole)} crashed={len(crashed)}")
    assert whole
    assert crashed, "no kill met a stream: the rounds showed nothing"
