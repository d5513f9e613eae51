"""The ledger under bad weather, seed by seed: F10–F13. What it does inside is tested in `tests/ledger`."""

from __future__ import annotations

import asyncio
import os
import random
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from streamgauge.ledger.base import LedgerCorrupt
from streamgauge.ledger.sqlite import SqliteLedger

from ..e2e.process import SOURCES
from ..e2e.stand import Answer, Stand, frames_of, stand, until
from ..timed import in_time
from .trial import dice_of, seeded

CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"
PAGE = 4096
ADDED_TTFT = 0.010
LENIENCY = 5  # a timing test asserts five times its figure


def request_of(dice: random.Random, **sim: Any) -> tuple[str, dict[str, Any]]:
    """Return a request of either dialect that asks `sim` of the simulator."""
    messages = [{"role": "user", "content": "hi"}]
    body = {"model": "sim", "stream": True, "max_tokens": 900, "messages": messages, "sim": sim}
    return dice.choice((CHAT, MESSAGES)), body


def is_whole(answer: Answer) -> bool:
    """Whether a stream came with its end marker."""
    last = frames_of(answer.body)[-1] if answer.status == 200 else b""
    return answer.clean and (last == b"[DONE]" or b"message_stop" in last)


async def until_refused(it: Stand, dice: random.Random) -> tuple[list[Answer], Answer]:
    """Ask until the gateway refuses; return what it served, and the refusal."""
    served: list[Answer] = []
    while len(served) < 2000:
        path, body = request_of(dice, tokens=1)
        answer = await it.ask(path, body, user_agent="x" * 250)
        if answer.status != 200:
            return served, answer
        served.append(answer)
    raise AssertionError("it never refused")


@pytest.mark.fault("F10")
@seeded
@pytest.mark.asyncio
async def test_a_full_disk_stops_what_is_new_and_only_when_the_spool_is_full(
    seed: int, tmp_path: Path
) -> None:
    dice = dice_of("F10", seed)
    pages, spool = dice.randint(150, 260), dice.choice((64, 96, 128)) << 10
    async with stand(tmp_path, max_page_count=pages, spool_bytes=spool) as it:
        asked = [request_of(dice, tokens=dice.randint(20, 40), gap_ms=15) for _ in range(4)]
        live = [asyncio.create_task(it.ask(path, body)) for path, body in asked]
        await until(lambda: len(it.simulator.begun) == len(live))
        with closing(sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)) as other:
            other.execute("CREATE TABLE filler (x)")
            other.execute(f"INSERT INTO filler VALUES (zeroblob({pages * PAGE}))")
            served, refusal = await until_refused(it, dice)
            calls = len(it.simulator.begun)
            again = await it.ask(*request_of(dice, tokens=1), user_agent="x" * 250)
            assert len(it.simulator.begun) == calls, "nobody is asked without a row"
            ends = await asyncio.gather(*live)
            other.execute("DROP TABLE filler")
        await until(lambda: it.ledger.reason() is None)
        back = await it.ask(*request_of(dice, tokens=1))
        rows = {row["id"]: row for row in await it.rows()}
    assert refusal.json()["error"]["code"] == again.json()["error"]["code"] == "ledger_unavailable"
    assert {refusal.status, again.status} <= {503, 529}
    whole = [*served, *ends, back]
    assert all(is_whole(answer) for answer in whole)
    assert {rows[answer.id]["status"] for answer in whole} == {"completed"}
    assert {rows[answer.id]["usage_source"] for answer in whole} == {"provider"}
    assert all(row["finished_at"] is not None for row in rows.values())


@pytest.mark.fault("F12")
@seeded
@pytest.mark.asyncio
async def test_a_lock_by_another_process_delays_no_stream(seed: int, tmp_path: Path) -> None:
    dice = dice_of("F12", seed)
    asked = [request_of(dice, tokens=dice.randint(1, 9), gap_ms=3) for _ in range(6)]

    async def one(path: str, body: dict[str, Any]) -> tuple[Answer, float]:
        began = time.monotonic()
        answer = await it.ask(path, body)
        return answer, answer.chunks[0][0] - began

    async with stand(tmp_path, spool_bytes=8 << 20) as it:
        free = [await one(path, body) for path, body in asked]
        running = asyncio.create_task(it.ask(*request_of(dice, tokens=30, gap_ms=10)))
        await until(lambda: len(it.simulator.begun) == len(asked) + 1)
        with closing(sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)) as other:
            other.execute(dice.choice(("BEGIN IMMEDIATE", "BEGIN EXCLUSIVE")))
            locked = [await one(path, body) for path, body in asked]
            early = await running
            other.execute(dice.choice(("COMMIT", "ROLLBACK")))
        await until(lambda: it.ledger.reason() is None)
        rows = await it.rows()
    assert all(is_whole(answer) for answer, _ in [*free, *locked])
    assert is_whole(early)
    soonest, late = (min(taken for _, taken in each) for each in (free, locked))
    in_time(late - soonest, LENIENCY * ADDED_TTFT)
    assert {row["status"] for row in rows} == {"completed"}
    assert len(rows) == 2 * len(asked) + 1


OPENING = """
import os, sys
from pathlib import Path
from streamgauge.ledger.base import LedgerReadOnly
from streamgauge.ledger.sqlite import SqliteLedger
if os.getuid() == 0:
    os.setgid(65534); os.setuid(65534)
try:
    SqliteLedger(Path(sys.argv[1]), owner="x", now_us=lambda: 1, post=lambda call: call())
except LedgerReadOnly as error:
    print(error)
"""


@pytest.fixture
def public() -> Iterator[Path]:
    """A directory that another user can reach: the superuser may write everywhere."""
    folder = Path(tempfile.mkdtemp(prefix="streamgauge-test-"))
    folder.chmod(0o777)
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


def _made(path: Path) -> None:
    ledger = SqliteLedger(path, owner="first", now_us=lambda: 1, post=lambda call: call())
    ledger.stop(5)


@pytest.mark.fault("F11")
@seeded
def test_a_read_only_ledger_refuses_the_start(seed: int, public: Path) -> None:
    dice = dice_of("F11", seed)
    path = public / f"{dice.choice(('ledger', 'books', 'ä b'))}.db"
    _made(path)
    for file in public.iterdir():
        file.chmod(0o666)
    path.chmod(dice.choice((0o444, 0o440, 0o555, 0o400, 0o000)))
    before = path.read_bytes()
    done = subprocess.run(
        [sys.executable, "-c", OPENING, str(path)],
        env={"PYTHONPATH": str(SOURCES), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert str(path) in done.stdout
    assert "make the file writable" in done.stdout
    assert path.read_bytes() == before


def _filled(path: Path, rows: int) -> None:
    _made(path)
    with closing(sqlite3.connect(path)) as connection:
        for number in range(rows):
            name = f"row-{number:08}"
            connection.execute(
                "INSERT INTO requests (id, owner, started_at, finished_at, status, anomalies, client_app)"
                " VALUES (?, 'o', 1, 2, 'completed', '[]', ?)",
                (name, "x" * 200),
            )
        connection.commit()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


@pytest.mark.fault("F13")
@seeded
def test_a_corrupt_ledger_refuses_the_start_and_is_left_alone(seed: int, tmp_path: Path) -> None:
    dice = dice_of("F13", seed)
    path = tmp_path / "ledger.db"
    _filled(path, dice.randint(50, 400))
    size = path.stat().st_size
    if seed % 4 == 3:
        os.truncate(path, size - dice.randint(1, size // PAGE // 2) * PAGE)
    else:
        with path.open("r+b") as file:
            page = dice.choice((0, 0, *range(size // PAGE // 2)))
            file.seek(page * PAGE)
            file.write(dice.randbytes(dice.choice((16, 100, PAGE)) if not page else 3 * PAGE))
    before = path.read_bytes()
    with pytest.raises(LedgerCorrupt, match=re.escape(".recover")) as refusal:
        _made(path)
    assert str(path) in str(refusal.value)
    assert path.read_bytes() == before
