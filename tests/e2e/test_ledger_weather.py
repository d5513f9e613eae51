"""A full disk and a locked ledger under live traffic: no stream waits, no row is lost (F10, F12)."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from streamgauge.ledger.spool import spool_path
from streamgauge.tools.simulator import Simulator

from .disks import small_disk
from .process import GatewayProcess, closed_rows, serving
from .stand import Answer, Stand, frames_of, stand, until

CHAT = "/v1/chat/completions"
FULL = os.environ.get("STREAMGAUGE_FULL") == "1"
LOCKED_SECONDS = 10.0 if FULL else 2.0
MOST = 2000


def chat(**sim: Any) -> dict[str, Any]:
    """Return a streaming request that asks `sim` of the simulator."""
    messages = [{"role": "user", "content": "hi"}]
    return {"model": "sim", "stream": True, "messages": messages, "sim": sim}


def whole(answer: Answer) -> bool:
    """Say whether a stream came to its end."""
    return answer.status == 200 and answer.clean and frames_of(answer.body)[-1] == b"[DONE]"


async def until_refused(gateway: Stand | GatewayProcess) -> tuple[list[Answer], Answer]:
    """Ask until the gateway refuses; return what it answered, and the refusal."""
    served: list[Answer] = []
    while len(served) < MOST:
        asked = (gateway.ask(CHAT, chat(tokens=1), user_agent="x" * 250) for _ in range(10))
        answers = await asyncio.gather(*asked)
        refused = [answer for answer in answers if answer.status != 200]
        served += [answer for answer in answers if answer.status == 200]
        if refused:
            return served, refused[0]
    raise AssertionError("it never refused")


@contextlib.asynccontextmanager
async def full_disk(it: Stand, pages: int) -> AsyncIterator[None]:
    """Leave the gateway no page to write to."""
    with closing(sqlite3.connect(it.folder / "ledger.db", isolation_level=None)) as other:
        other.execute("CREATE TABLE filler (x)")
        other.execute(f"INSERT INTO filler VALUES (zeroblob({pages * 4096}))")
        yield
        other.execute("DROP TABLE filler")


@pytest.mark.fault("F10")
@pytest.mark.asyncio
async def test_a_full_disk_stops_nothing_until_the_spool_is_full_and_then_only_what_is_new(
    tmp_path: Path,
) -> None:
    async with stand(tmp_path, max_page_count=200, spool_bytes=128 << 10) as it:
        live = [asyncio.create_task(it.ask(CHAT, chat(tokens=40, gap_ms=20))) for _ in range(5)]
        await until(lambda: len(it.simulator.requests) >= 5)
        async with full_disk(it, 200):
            first = await it.ask(CHAT, chat(tokens=1))
            ready = await it.get("/readyz")
            answers, refusal = await until_refused(it)
            calls = len(it.simulator.requests)
            refusals = [await it.ask(CHAT, chat(tokens=1), user_agent="x" * 250) for _ in range(5)]
            unready = await it.get("/readyz")
            posts = it.simulator.requests[calls:]
            ends = await asyncio.gather(*live)
            assert it.ledger.stats().spooled > 50
        await until(lambda: it.ledger.reason() is None)
        back, again = await it.ask(CHAT, chat(tokens=1)), await it.get("/readyz")
        rows = {row["id"]: row for row in await it.rows()}
    assert (first.status, ready.status) == (200, 200)
    assert len(answers) > 20
    assert {each.status for each in (refusal, *refusals)} == {503}
    assert refusal.json()["error"]["code"] == "ledger_unavailable"
    assert (posts, unready.status, again.status) == ([], 503, 200)
    assert all(whole(answer) for answer in ends)
    served = [first, *answers, *ends, back]
    assert {rows[answer.id]["status"] for answer in served} == {"completed"}
    assert all(row["finished_at"] is not None for row in rows.values())
    row, told = rows[refusal.id], refusal.headers
    assert (row["status"], row["upstream"], row["attempts"]) == ("rejected", None, 0)
    assert not {"x-streamgauge-upstream", "x-streamgauge-attempts"} & told.keys()
    assert it.ledger.stats().double_closes == 0
    events = [event for _, event, _ in it.lines if event.startswith(("ledger_", "spool_"))]
    assert events == ["ledger_away", "spool_full", "ledger_back"]


async def first_tokens(it: Stand, seconds: float) -> list[float]:
    """Ask one stream after the other for `seconds`; return each one's time to first token."""
    found: list[float] = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        sent = time.monotonic()
        answer = await it.ask(CHAT, chat(tokens=3, gap_ms=2))
        assert whole(answer)
        found.append(answer.chunks[0][0] - sent)
    return found


@pytest.mark.fault("F12")
@pytest.mark.timeout(30 + 3 * LOCKED_SECONDS)
@pytest.mark.asyncio
async def test_a_locked_ledger_delays_no_stream(tmp_path: Path) -> None:
    async with stand(tmp_path, spool_bytes=16 << 20) as it:
        before = await first_tokens(it, 1.0)
        with closing(sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            during = await first_tokens(it, LOCKED_SECONDS)
            assert it.ledger.stats().spooled >= len(during)
            other.execute("COMMIT")
        await until(lambda: it.ledger.reason() is None)
        rows = await it.rows()
    print(f"time to first token: {median(before):.4f} s free, {median(during):.4f} s locked")
    assert median(during) < median(before) + 5 * 0.010
    assert max(during) < max(before) + 5 * 0.050
    assert len(rows) == len(before) + len(during)
    assert {row["status"] for row in rows} == {"completed"}


async def on_a_full_disk(folder: Path, *, killed: bool) -> None:
    """Fill the disk under a gateway's process, use it, and look at the books after the space is back."""
    with small_disk(folder, 12) as disk:
        async with Simulator() as simulator, serving(folder, simulator) as gateway:
            pid = gateway.process.pid
            early = [await gateway.ask(CHAT, chat(tokens=1))]
            while max(file.stat().st_size for file in folder.glob("*-wal")) < disk.log_bytes:
                asked = (gateway.ask(CHAT, chat(tokens=1)) for _ in range(20))
                early += await asyncio.gather(*asked)
            live = asyncio.create_task(gateway.ask(CHAT, chat(tokens=60, gap_ms=20)))
            before = len(simulator.requests)
            await until(lambda: len(simulator.requests) > before)
            disk.fill(pid)
            answers, refusal = await until_refused(gateway)
            calls = len(simulator.requests)
            assert (await gateway.ask(CHAT, chat(tokens=1), user_agent="x" * 250)).status == 503
            assert len(simulator.requests) == calls
            served = [*early, *answers, await live]
            assert whole(served[-1])
            told = "\n".join(gateway.lines)
            assert (told.count("ledger_away"), told.count("spool_full")) == (1, 1)
            if killed:
                await gateway.kill()
            disk.free(pid if not killed else os.getpid())
            if not killed:
                await closed_rows(folder, len(served))
        async with Simulator() as simulator, serving(folder, simulator):
            rows = {row["id"]: row for row in await closed_rows(folder, len(served))}
        assert len(answers) > 20
        assert refusal.json()["error"]["code"] == "ledger_unavailable"
        assert {rows[answer.id]["status"] for answer in served} <= {"completed", "gateway_crash"}
        crashed = [answer for answer in served if rows[answer.id]["status"] != "completed"]
        assert len(crashed) <= (2 if killed else 0), "closes were told while their rows were not"
        assert spool_path(folder / "ledger.db").stat().st_size == 1 << 20


@pytest.mark.fault("F10")
@pytest.mark.asyncio
async def test_space_that_returns_on_a_small_disk_brings_every_row(tmp_path: Path) -> None:
    await on_a_full_disk(tmp_path / "disk", killed=False)


@pytest.mark.fault("F10")
@pytest.mark.asyncio
async def test_a_kill_on_a_full_disk_loses_nothing(tmp_path: Path) -> None:
    await on_a_full_disk(tmp_path / "disk", killed=True)
