"""The seeded soak: processes under load with faults, a kill at its end, then every invariant.

`STREAMGAUGE_SOAK_SECONDS` and `STREAMGAUGE_SOAK_SEED` change what their names say.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import pytest

from ..e2e.process import GatewayProcess
from .calls import FAULT_SHARE
from .journals import cases_of, read_run
from .stage import Figures, Stage, serving, stage
from .vitals import Vitals, slope_mib
from .whole_run import (
    Audit,
    audit,
    fingerprints,
    i2_only_open_rows_of_the_dead_are_touched,
    i8_rollups_are_the_rows,
    i14_everything_is_back_at_idle,
    rolled_up,
)

FULL = os.environ.get("STREAMGAUGE_FULL") == "1"
CI = os.environ.get("CI") == "true"
SECONDS = float(os.environ.get("STREAMGAUGE_SOAK_SECONDS") or (600 if FULL else 60 if CI else 4))
SEED = int(os.environ.get("STREAMGAUGE_SOAK_SEED") or 3)
WORKERS = 48
FRAMES_A_SECOND = 5_000
LENIENCY = 5  # a timing test asserts five times its figure; a soak of a minute asserts the figure
MOST_SLOPE = 1.0
LONG = 30.0
"""Seconds from which on a soak can tell a slope from the noise of warming up."""
HELD = 12


async def _streams_then_kill(gateway: GatewayProcess) -> None:
    """Kill -9 while streams run."""
    ask = {"model": "llamacpp-cancel/qwen", "stream": True, "sim": {"tokens": 5000, "gap_ms": 5}}
    body = ask | {"messages": [{"role": "user", "content": "hi"}]}
    async with contextlib.AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(gateway.client()) for _ in range(HELD)]
        for client in clients:
            await client.post("/v1/chat/completions", body)
        for client in clients:
            await client.head()
            assert await client.chunk()
        await gateway.kill()


def _tell(
    it: Stage, figures: Figures, found: Audit, slope: float | None, before: Vitals, after: Vitals
) -> None:
    grown = "-" if slope is None else f"{slope:.2f} MiB/10000"
    print(
        f"soak seed={it.seed} seconds={figures.seconds:.1f} exchanges={figures.calls} "
        f"frames/s={figures.frames_a_second:.0f} faults={it.share:.0%} slope={grown}"
    )
    for name in ("statuses", "sources", "anomalies"):
        tally = sorted(getattr(found, name).items(), key=lambda each: -each[1])
        print(f"soak {name}: " + ", ".join(f"{key} {count}" for key, count in tally))
    print(f"soak before: {before}; after: {after}")
    print(f"soak closes: {len(found.closings)}, the last after {max(found.closings):.3f} s")


@pytest.mark.timeout(90 + 2 * SECONDS)
@pytest.mark.asyncio
async def test_under_load_with_faults_every_invariant_holds(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.db"
    print(f"soak seed={SEED}")
    async with stage(tmp_path, SEED, FAULT_SHARE) as it:
        await it.gateway.get("/healthz")
        before = await it.vitals()
        figures = await it.load(0, SECONDS, WORKERS)
        after = await it.idle(before)
        run = read_run(SEED, FAULT_SHARE, it.clients, it.simulators)
        found = audit(run, cases_of(run, ledger))
        found.note("I8", i8_rollups_are_the_rows(found.sums, rolled_up(ledger)))
        await _streams_then_kill(it.gateway)
        left = fingerprints(ledger)
        async with serving(tmp_path, it.config):
            mended = fingerprints(ledger)
    slope = slope_mib(figures.memory)
    _tell(it, figures, found, slope, before, after)
    most = MOST_SLOPE if SECONDS >= LONG else None
    found.note("I14", i14_everything_is_back_at_idle(before, after, slope, most))
    found.note("I2", i2_only_open_rows_of_the_dead_are_touched(left, mended))
    crashed = [name for name, (status, _) in left.items() if status == "in_flight"]
    assert len(crashed) == HELD
    assert not found.findings, found.report()
    assert figures.frames_a_second >= FRAMES_A_SECOND / (1 if SECONDS >= LONG else LENIENCY)
    assert all(found.statuses[status] for status in ("completed", "client_disconnected"))
