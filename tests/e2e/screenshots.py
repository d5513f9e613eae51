"""Takes the pictures of docs/dashboard.md, light and dark: a gateway with a week behind it and streams in progress.

Run by scripts/screenshots; no test.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sqlite3
import tempfile
import time
from pathlib import Path
from typing import Any, Literal

from playwright.async_api import Browser, expect

from .browser import chromium, sight
from .dashboard_world import CHAT, CLAUDE_CODE, MESSAGES, OPENCODE, SDK, World, world

SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
VIEWPORT = {"width": 1440, "height": 900}
DAYS = 7
DAY_US = 86_400_000_000
SEED = 11


def make_history(ledger: Path) -> None:
    """Repeat today's rows over the days before, at working hours mostly."""
    chance = random.Random(SEED)
    now = time.time_ns() // 1000
    with sqlite3.connect(ledger) as connection:
        connection.row_factory = sqlite3.Row
        rows = [dict(row) for row in connection.execute("SELECT * FROM requests")]
        for days in range(1, DAYS):
            for copy in range(chance.randint(9, 30)):
                back = days * DAY_US - int(chance.gauss(0, 3.2) * 3_600_000_000)
                _repeat(connection, rows, now - back, f"{days:02}{copy:02}", chance)
    connection.close()


def _repeat(
    connection: sqlite3.Connection,
    rows: list[dict[str, Any]],
    until: int,
    mark: str,
    chance: random.Random,
) -> None:
    for row in rows:
        if chance.random() < 0.35:
            continue
        took = row["finished_at"] - row["started_at"]
        started = until - chance.randint(0, 3_000_000_000)
        session = None if row["session_id"] is None else f"{row['session_id'][:8]}-{mark}"
        moved = row | {
            "id": f"{mark}{row['id'][4:]}",
            "started_at": started,
            "finished_at": started + took,
            "session_id": session,
        }
        marks = ",".join(f":{name}" for name in moved)
        connection.execute(f"INSERT INTO requests ({','.join(moved)}) VALUES ({marks})", moved)


async def _streams(it: World) -> None:
    slow: dict[str, Any] = {"tokens": 2400, "prompt": 260}  # they run until the last picture
    claude = {"user_agent": CLAUDE_CODE, "x_claude_code_session_id": "7b1d9c52-checkout-refactor"}
    claude |= it.holding("anna")
    for gap in (45, 70, 110):
        usage = {"input_tokens": 900, "cache_read_input_tokens": 21_300, "output_tokens": 900}
        sim = {**slow, "gap_ms": gap, "usage": usage}
        await it.begin("claude-sonnet-4-5", path=MESSAGES, sim=sim, **claude)
    for gap, agent in ((60, OPENCODE), (95, OPENCODE), (180, SDK), (33, SDK)):
        session = {"x_streamgauge_session": "docs-assistant"} if agent == OPENCODE else {}
        await it.begin("qwen3-32b", sim={**slow, "gap_ms": gap}, user_agent=agent, **session)
    for gap in (25, 52):
        await it.begin(
            "gpt-5-mini", sim={**slow, "gap_ms": gap}, user_agent=SDK, **it.holding("nightly jobs")
        )
    await it.begin("qwen3-32b", path=CHAT, sim={**slow, "first_ms": 60_000}, user_agent=OPENCODE)


async def _keys(it: World) -> None:
    await it.make_key("anna", rpm=120, per_month="40 USD")
    await it.make_key("nightly jobs", rpm=600, max_streams=8, per_month="2 USD")
    await it.make_key("visitor", rpm=10, per_day="1 USD", models=["qwen3-*"])


def _screens(rows: list[dict[str, Any]]) -> dict[str, str]:
    def newest(model: str, status: str = "completed") -> str:
        fits = (r["id"] for r in rows if (r["requested_model"], r["status"]) == (model, status))
        return str(next(fits))

    return {
        "live": "/",
        "requests": "/requests",
        "request": f"/requests/{newest('claude-sonnet-4-5')}",
        "frames": f"/requests/{newest('gpt-5-mini')}/frames",
        "session": "/sessions/docs-assistant",
        "upstreams": "/upstreams",
        "usage": "/usage",
        "keys": "/keys",
        "health": "/health",
    }


async def _shoot(browser: Browser, it: World, rows: list[dict[str, Any]], folder: Path) -> None:
    for scheme in SCHEMES:
        context = {"viewport": VIEWPORT, "color_scheme": scheme, "reduced_motion": "reduce"}
        async with sight(browser, it.origin, **context) as page:
            for name, path in _screens(rows).items():
                await page.go(path)
                if name == "live":
                    await expect(page.page.locator(".live-table tbody tr")).to_have_count(9)
                    await page.page.wait_for_timeout(12_000)  # the lines of the speeds grow
                if name == "health":
                    await page.page.get_by_role("button", name="Examine").click()
                    done = page.page.get_by_role("button", name="Examine", exact=True)
                    await expect(done).to_be_enabled(timeout=30_000)
                await page.page.mouse.move(0, 0)
                whole = name == "request"
                picture = folder / f"{name}-{scheme}.png"
                await page.page.screenshot(path=picture, full_page=whole)
            page.is_clean()


async def take(program: Path, folder: Path) -> None:
    """Write the pictures into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        async with world(Path(scratch)) as it:
            await _keys(it)
            await it.play()
            await it.settle()
            keys = it.keys
        make_history(Path(scratch) / "ledger.db")
        async with world(Path(scratch)) as it, chromium(program) as browser:
            it.keys = keys
            await it.play()
            rows = await it.settle()
            await _streams(it)
            await _shoot(browser, it, rows, folder)


def main() -> None:
    """Read the arguments and take the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--chromium", type=Path, required=True)
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    asyncio.run(take(arguments.chromium, arguments.folder))


if __name__ == "__main__":
    main()
