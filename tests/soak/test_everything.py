"""The soak with everything on at once, and kills -9 in its midst; then every invariant that applies.

`STREAMGAUGE_SOAK_SECONDS`, `STREAMGAUGE_SOAK_SEED` and `STREAMGAUGE_CRASH_ROUNDS` set other sizes.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from ..e2e.receivers import receiving
from ..e2e.stand import until
from .calls import FAULT_SHARE, Way
from .everything import (
    Influx,
    captures_hold,
    everything,
    exported_once,
    i10_one_attempt_shows_output,
    i13_what_came_is_what_was_sent,
    keys_are_the_rows,
    left_of,
    reloads,
    secrets_in,
    spent_of,
)
from .invariants import PER_ROW
from .journals import Case, Run, cases_of, read_run
from .stage import Stage, serving
from .vitals import slope_mib
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
SECONDS = float(os.environ.get("STREAMGAUGE_SOAK_SECONDS") or (120 if FULL else 4))
SEED = int(os.environ.get("STREAMGAUGE_SOAK_SEED") or 5)
ROUNDS = int(os.environ.get("STREAMGAUGE_CRASH_ROUNDS") or (40 if FULL else 6))
WORKERS = 32
LONG = 30.0
MOST_SLOPE = 2.0
"""MiB in 10 000 exchanges, of which 1 300 fail: each is remembered for ten minutes, to know its repeat."""
EXPORTED_WITHIN = 20.0
POOR = 50_000_000
"""Nano-units a day of the key `poor`."""


async def _exported(it: Stage, influx: Influx) -> list[str]:
    """Wait until the exporter has nothing to send any more; return what is wrong then."""
    ledger = it.folder / "ledger.db"

    found: list[str] = []

    def done() -> bool:
        found[:] = exported_once(ledger, influx)
        return not found

    with contextlib.suppress(AssertionError):
        await until(done, EXPORTED_WITHIN)
    return found


def _more(it: Stage, found: Audit, cases: Iterable[Case]) -> Iterator[Case]:
    for case in cases:
        for name, check in (
            ("I10", i10_one_attempt_shows_output(case)),
            ("I13", i13_what_came_is_what_was_sent(case)),
            ("keys", keys_are_the_rows(case, it.key_ids)),
        ):
            found.note(name, (f"{case.call}: {finding}" for finding in check))
        yield case


@pytest.mark.timeout(120 + 2 * SECONDS)
@pytest.mark.asyncio
async def test_with_everything_on_every_invariant_holds(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.db"
    with receiving(Influx()) as influx:
        assert isinstance(influx, Influx)
        async with everything(tmp_path, SEED, FAULT_SHARE, influx) as it:
            assert it.keys is not None
            await it.gateway.get("/healthz")
            before = await it.vitals()
            reloading = asyncio.create_task(reloads(it, it.gateway), name="reloads")
            figures = await it.load(0, SECONDS, WORKERS)
            reloading.cancel()
            after = await it.idle(before, 8.0)
            run = read_run(SEED, FAULT_SHARE, it.clients, it.simulators, everything=True)
            more = Audit()
            cases = list(_more(it, more, cases_of(run, ledger)))
            found = audit(run, cases)
            found.findings |= more.findings
            found.note("I8", i8_rollups_are_the_rows(found.sums, rolled_up(ledger)))
            found.note("I9", await _exported(it, influx))
            rows = {case.row["id"]: case.row for case in cases}
            found.note("captures", captures_hold(tmp_path, rows))
            found.note(
                "S11", secrets_in(tmp_path, list(it.keys.values()), it.gateway.lines, influx)
            )
            poor = spent_of(ledger, it.key_ids["poor"])
            left = await left_of(it.gateway, it.keys["poor"])
            await it.gateway.kill()
        async with serving(tmp_path, it.config) as again:
            left_then = await left_of(again, it.keys["poor"])
            found.note("I9 after a kill", await _exported(it, influx))
    slope = slope_mib(figures.memory)
    told = Counter(case.told.cuts > 0 for case in cases)
    tries = Counter(case.row["attempts"] for case in cases)
    files = len(list((tmp_path / "captures").iterdir()))
    print(
        f"everything: seed={SEED} exchanges={figures.calls} frames/s={figures.frames_a_second:.0f} "
        f"exchanges/s={figures.calls / figures.seconds:.0f} slope={slope} cut={told[True]} "
        f"attempts={dict(tries)} captures={files} exported={len(influx.points)} "
        f"repeated={influx.repeated} refused={influx.refused} poor={poor} left={left}/{left_then}"
    )
    for name in ("statuses", "sources", "anomalies"):
        print(f"everything {name}: {dict(getattr(found, name))}")
    print(f"everything before: {before}; after: {after}")
    most = MOST_SLOPE if SECONDS >= LONG else None
    found.note("I14", i14_everything_is_back_at_idle(before, after, slope, most))
    assert not found.findings, found.report()
    assert left_then == POOR - poor
    assert left <= left_then
    met = told[True], tries[2], influx.refused, files, found.statuses["superseded"]
    assert all(met), f"not everything was met: {met}"


def _survived(run: Run, cases: list[Case]) -> Iterator[str]:
    """After kills: no row lost, none double, none open, no upstream call unknown, nothing invented."""
    for name, rows in run.rows_of.items():
        answered = run.told[name].clean and run.told[name].id is not None
        metered = run.calls[name].way not in (Way.BAD_HTTP, Way.UNKNOWN_PATH)
        owed = bool(run.entries.get(name)) or (
            answered and metered and run.told[name].status == 200
        )
        if not owed <= rows <= 1:
            yield f"{run.calls[name]}: {rows} rows, {len(run.entries.get(name, ()))} upstream calls"
    for name in run.entries.keys() - run.calls.keys():
        yield f"{name}: an upstream call of nobody"
    for case in cases:
        for invariant in ("I3", "I4", "I6", "I8", "I11", "I12", "I18"):
            if case.row["status"] != "gateway_crash" or invariant == "I3":
                yield from (f"{invariant} {case.call}: {each}" for each in PER_ROW[invariant](case))
        if case.row["status"] == "in_flight" or case.row["finished_at"] is None:
            yield f"{case.row['id']} is open"


async def _kill_again_and_again(it: Stage, findings: list[str]) -> None:
    """Kill and start the gateway in each round; note what a start did wrong."""
    assert it.keys is not None
    ledger, dice = it.folder / "ledger.db", random.Random(SEED)
    it.may_die = True
    for number in range(ROUNDS):
        load = asyncio.create_task(it.load(number * 100_000, 10.0, WORKERS), name="load")
        await asyncio.sleep(dice.uniform(0.3, 1.2))  # the instant: nothing is waited for
        await it.gateway.kill()
        await load
        left = fingerprints(ledger)
        it.gateway = await it.restarted()
        findings += i2_only_open_rows_of_the_dead_are_touched(left, fingerprints(ledger))
        poor = spent_of(ledger, it.key_ids["poor"])
        if await left_of(it.gateway, it.keys["poor"]) != max(0, POOR - poor):
            findings.append(f"{poor} is spent, and not so much is gone")


@pytest.mark.timeout(60 + 20 * ROUNDS)
@pytest.mark.asyncio
async def test_no_kill_with_everything_on_loses_doubles_or_leaves_anything(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.db"
    findings: list[str] = []
    with receiving(Influx()) as influx:
        assert isinstance(influx, Influx)
        async with everything(tmp_path, SEED, FAULT_SHARE, influx) as it:
            try:
                await _kill_again_and_again(it, findings)
                findings += await _exported(it, influx)
            finally:
                await it.gateway.kill()
            run = read_run(SEED, FAULT_SHARE, it.clients, it.simulators, everything=True)
            cases = list(cases_of(run, ledger))
            findings += _survived(run, cases)
            # A refusal is one row without a name of its client's; who asked did not live to be told.
            findings += [each for each in run.strangers if "(rejected, None)" not in each]
    statuses = Counter(case.row["status"] for case in cases)
    print(
        f"everything killed: seed={SEED} rounds={ROUNDS} calls={len(run.calls)} {dict(statuses)} "
        f"exported={len(influx.points)} repeated={influx.repeated}"
    )
    assert not findings, "\n".join(findings[:20])
    assert statuses["gateway_crash"]
    assert statuses["completed"]
