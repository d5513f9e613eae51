"""A gateway looks after its own ledger: sums current, old rows gone, both through kill -9 (I8)."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from streamgauge.ledger import rollup
from streamgauge.ledger.rollup_check import differences
from streamgauge.ledger.rollup_sums import UsageSum
from streamgauge.ledger.schema import open_for_writing
from streamgauge.tools.simulator import Simulator

from ..ledger.made_ledger import add, exchanges, one
from .process import closed_rows, serving
from .stand import until

OLD = 400
CHAT = {"model": "sim", "stream": True, "messages": [{"role": "user", "content": "hi"}]}


def sums(path: Path) -> UsageSum:
    """Return the sum of everything, after seeing that no number of it differs from the rows."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN")
        assert list(differences(connection)) == []
        (told,) = rollup.usage(connection)
    return told


def rolled_up(path: Path, count: int) -> bool:
    with closing(sqlite3.connect(path)) as connection:
        return bool(one(connection, "SELECT rolled_up_to FROM rollup_state") >= count)


@pytest.mark.asyncio
async def test_sums_follow_the_rows_and_stay_when_old_rows_go(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with closing(open_for_writing(path)) as connection:
        add(connection, exchanges(OLD, days=3))
    config = {"ledger": {"url": f"sqlite:///{path}", "retention_days": 30}}
    async with Simulator() as simulator:
        async with serving(tmp_path, simulator, config=config) as gateway:
            for _ in range(5):
                assert (await gateway.ask("/v1/chat/completions", CHAT)).status == 200
            await until(lambda: rolled_up(path, OLD + 5), 10.0)
            rows = await closed_rows(tmp_path, OLD + 5)
            assert [row["status"] for row in rows[:5]] == ["completed"] * 5
            slow = {**CHAT, "sim": {"gap_ms": 10_000}}
            asking = asyncio.create_task(gateway.ask("/v1/chat/completions", slow))
            await until(lambda: in_flight(path), 10.0)
            await gateway.kill()
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
        assert sums(path).exchanges == OLD + 5
        assert rows_of(path) == OLD + 6, (
            "a year without a row may be a wrong clock: none goes for a day"
        )
        async with serving(tmp_path, simulator, config=config):
            await until(lambda: rolled_up(path, OLD + 6), 10.0)
            await until(lambda: rows_of(path) == 6, 10.0)
    told = sums(path)
    assert told.exchanges == OLD + 6
    with closing(sqlite3.connect(path)) as connection:
        exact = one(
            connection, "SELECT sum(output_tokens) FROM requests WHERE usage_source = 'provider'"
        )
        (today,) = (each for each in rollup.usage(connection, by=["upstream"])
                    if each.group["upstream"] == rows[0]["upstream"])  # fmt: skip
    assert today.output.exact == exact
    assert today.failures == 1


def rows_of(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        return int(one(connection, "SELECT count(*) FROM requests"))


def in_flight(path: Path) -> bool:
    with closing(sqlite3.connect(path)) as connection:
        return bool(one(connection, "SELECT count(*) FROM requests WHERE status = 'in_flight'"))
