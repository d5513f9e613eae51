"""A key with limits, made by the command line, at a gateway that is killed and comes back (SPEC §15.2)."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from subprocess import run
from typing import Any

import pytest

from streamgauge.tools.simulator import Simulator

from .process import SOURCES, closed_rows, serving

CHAT = "/v1/chat/completions"
CONFIG = {"prices": [{"input": 0, "output": 1000, "currency": "USD"}]}
"""A token written costs 0.001 USD."""


def make_key(folder: Path, *limits: str) -> dict[str, Any]:
    """Return what `keys create` prints."""
    command = [sys.executable, "-m", "streamgauge", "keys", "create", "--label", "agent", *limits]
    made = run(
        [*command, "--ledger", str(folder / "ledger.db"), "--json"],
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(SOURCES), "HOME": str(folder)},
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    key: dict[str, Any] = json.loads(made.stdout)
    return key


@pytest.mark.asyncio
async def test_a_key_s_day_goes_on_after_a_kill_and_a_call_cut_by_it_is_in_no_sum(
    tmp_path: Path,
) -> None:
    key = make_key(tmp_path, "--per-day", "0.02 USD", "--max-streams", "5")
    auth = {"authorization": f"Bearer {key['key']}"}
    simulator = Simulator()
    await simulator.start()
    body = {"model": "sim", "max_tokens": 6, "messages": [{"role": "user", "content": "hi"}]}
    held = {**body, "stream": True, "sim": {"tokens": 6, "gap_ms": 30_000}}
    try:
        async with serving(tmp_path, simulator, config=CONFIG) as gateway:
            for _ in range(2):
                assert (
                    await gateway.ask(CHAT, {**body, "sim": {"tokens": 6}}, **auth)
                ).status == 200
            await closed_rows(tmp_path, 2)
            async with gateway.client() as client:
                await client.post(CHAT, held, **auth)
                await client.head()
                # 12 thousandths are spent and 6 are held.
                assert (await gateway.ask(CHAT, body, **auth)).status == 402
                await gateway.kill()
        async with serving(tmp_path, simulator, config=CONFIG) as gateway:
            refused = await gateway.ask(CHAT, {**body, "max_tokens": 9}, **auth)
            served = await gateway.ask(CHAT, {**body, "max_tokens": 8}, **auth)
            rows = await closed_rows(tmp_path, 5)
    finally:
        await simulator.aclose()
    assert (refused.status, served.status) == (402, 200)
    assert "0.008 USD of it is left" in refused.json()["error"]["message"]
    crashed = [row for row in rows if row["status"] == "gateway_crash"]
    assert [row["cost_nano"] for row in crashed] == [None]
    assert {row["key_id"] for row in rows if row["status"] != "rejected"} >= {key["id"]}
