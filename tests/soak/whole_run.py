"""The invariants of FAULTS §3 that hold for a whole run, and the audit that checks them all."""

from __future__ import annotations

import math
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from hashlib import sha1
from pathlib import Path
from typing import Any

from streamgauge.ledger.reader import Filter, LedgerReader
from streamgauge.ledger.rollup import usage
from streamgauge.tools.simulator.journal import Ending

from .calls import Way
from .invariants import PER_ROW
from .journals import Case, Run
from .vitals import HELD, Vitals

__all__ = [
    "Audit",
    "audit",
    "fingerprints",
    "i1_each_call_has_its_row",
    "i2_only_open_rows_of_the_dead_are_touched",
    "i8_rollups_are_the_rows",
    "i14_everything_is_back_at_idle",
    "i15_upstreams_see_the_close_soon",
    "rolled_up",
]

SHOWN = 8
"""Findings of one invariant that are spelled out: the rest is a number."""
CLOSED_WITHIN = 0.5
_LENIENCY = 5
_OPEN = "in_flight"
Fingerprints = Mapping[str, tuple[str, str]]
Sums = dict[tuple[str, str, str], list[int]]
"""By status and the sources of output and input: exchanges, input, output, and nano-units of cost."""
_ROWLESS = frozenset({Way.BAD_HTTP, Way.UNKNOWN_PATH})


@dataclass(slots=True)
class Audit:
    """What was checked and what was found. `statuses`: rows by status; `closings`: seconds each.

    `sums`: see `Sums`.
    """

    rows: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    anomalies: Counter[str] = field(default_factory=Counter)
    sources: Counter[str] = field(default_factory=Counter)
    closings: list[float] = field(default_factory=list)
    sums: Sums = field(default_factory=dict)
    findings: dict[str, list[str]] = field(default_factory=dict)

    def note(self, invariant: str, findings: Iterable[str]) -> None:
        """Keep what is wrong under its invariant."""
        for finding in findings:
            self.findings.setdefault(invariant, []).append(finding)

    def report(self) -> str:
        """Say what is wrong, a line each; empty when nothing is."""
        lines = []
        for invariant, found in sorted(self.findings.items()):
            lines += [f"{invariant}: {finding}" for finding in found[:SHOWN]]
            if len(found) > SHOWN:
                lines.append(f"{invariant}: and {len(found) - SHOWN} more")
        return "\n".join(lines)


def audit(run: Run, cases: Iterable[Case]) -> Audit:
    """Check every row beside its call, then the run as a whole."""
    result = Audit()
    for case in cases:
        row = case.row
        result.rows += 1
        result.statuses[row["status"]] += 1
        result.sources[row["usage_source"]] += 1
        result.anomalies.update(row["anomalies"])
        _add(result.sums, row)
        for invariant, check in PER_ROW.items():
            result.note(invariant, (f"{case.call}: {found}" for found in check(case)))
        if (seconds := closing_seconds(case)) is not None:
            result.closings.append(seconds)
    result.note("I1", i1_each_call_has_its_row(run))
    result.note("I3", i3_no_upstream_call_is_unknown(run))
    result.note("I15", i15_upstreams_see_the_close_soon(result.closings))
    result.note("I18", i18_what_has_no_row_has_no_upstream_call(run))
    return result


def _add(sums: Sums, row: Mapping[str, Any]) -> None:
    key = tuple(str(row[name]) for name in ("status", "usage_source", "input_source"))
    total = sums.setdefault((key[0], key[1], key[2]), [0, 0, 0, 0])
    total[0] += 1
    for at, name in enumerate(("input_tokens", "output_tokens", "cost_nano"), 1):
        total[at] += row[name] if row[name] is not None else 0


def rolled_up(ledger: Path) -> Sums:
    """Return the same sums as the ledger's roll-ups tell them."""
    sums: Sums = {}
    with closing(sqlite3.connect(f"file:{ledger}?mode=ro", uri=True)) as connection:
        for each in usage(connection, by=("status", "usage_source", "input_source")):
            status, output, read = (str(value) for value in each.group.values())
            costs = [part for cost in each.costs.values() for part in (cost.exact, cost.estimated)]
            tokens = [
                (each.input.exact, each.input.estimated),
                (each.output.exact, each.output.estimated),
            ]
            parts = [[part for part in pair if part is not None] for pair in (*tokens, costs)]
            sums[status, output, read] = [each.exchanges, *(sum(known) for known in parts)]
    return sums


def i8_rollups_are_the_rows(rows: Sums, rollups: Sums) -> Iterator[str]:
    """I8: exact, estimated and unknown apart, the roll-ups add up to what the rows add up to."""
    for key in rows.keys() | rollups.keys():
        if rows.get(key) != rollups.get(key):
            yield f"{key}: rows {rows.get(key)}, roll-ups {rollups.get(key)}"


def i1_each_call_has_its_row(run: Run) -> Iterator[str]:
    """I1: one row for each accepted request, none for what is only counted, none of strangers."""
    for name, rows in run.rows_of.items():
        call, told = run.calls[name], run.told[name]
        least = 0 if call.way in _ROWLESS or not told.whole_body else 1
        most = 0 if call.way in _ROWLESS else 1
        if call.way is Way.LEAVE_BEFORE:
            least = 0  # its reset may overtake the request
        if not least <= rows <= most:
            yield f"{call}: {rows} rows"
    yield from (f"a row of nobody: {stranger}" for stranger in run.strangers)


def i2_only_open_rows_of_the_dead_are_touched(
    before: Fingerprints, after: Fingerprints
) -> Iterator[str]:
    """I2: a restart closes what was open, as `gateway_crash`, and leaves every other row alone.

    `before`: while the dead gateway's file stood still; `after`: once the next one is ready.
    """
    for name in before.keys() - after.keys():
        yield f"{name} is lost"
    for name, (status, row) in after.items():
        old_status, old = before.get(name, (None, ""))
        if status == _OPEN:
            yield f"{name} is open after the restart"
        elif old_status is None:
            yield f"{name} is new: {status}"
        elif old_status == _OPEN and status != "gateway_crash":
            yield f"{name} was open and is {status}"
        elif old_status != _OPEN and row != old:
            yield f"{name} was {old_status} and has changed, it is {status}"


def fingerprints(ledger: Path) -> dict[str, tuple[str, str]]:
    """Return each row's status, and a hash over all of it, by its id."""
    with LedgerReader(ledger) as reader:
        return {
            row["id"]: (row["status"], sha1(repr(row).encode()).hexdigest())
            for row in reader.newest(Filter())
        }


def i3_no_upstream_call_is_unknown(run: Run) -> Iterator[str]:
    """I3: every call of the simulator belongs to a request that has a row."""
    for name, entries in run.entries.items():
        if not run.rows_of.get(name, 0):
            yield f"{name}: {len(entries)} upstream calls without a row"


def closing_seconds(case: Case) -> float | None:
    """Return how long after its client left a cancelled upstream saw the close, where it did."""
    began = case.told.stopped_at
    if case.told.left_at is not None and not case.call.drains:
        began = case.told.left_at
    if began is None or case.row["disposition"] != "cancelled" or not case.entries:
        return None
    if "loop_lag" in case.row["anomalies"]:
        return None  # the machine stood still, and the row says so: no time of it means anything
    entry = case.entries[-1]
    if entry.ending != Ending.CLIENT_CLOSED or entry.closed_at is None:
        return None
    return entry.closed_at - began


def i15_upstreams_see_the_close_soon(closings: Sequence[float]) -> Iterator[str]:
    """I15: 99 of 100 cancelled upstreams see the close within half a second.

    Of fewer than 100 one may be late, by as much as a test of time allows.
    """
    late = sum(seconds > CLOSED_WITHIN for seconds in closings)
    if late > max(1, math.floor(len(closings) / 100)) or any(
        seconds > _LENIENCY * CLOSED_WITHIN for seconds in closings
    ):
        yield f"{late} of {len(closings)} closes later than {CLOSED_WITHIN} s, {max(closings):.2f} s"


def i18_what_has_no_row_has_no_upstream_call(run: Run) -> Iterator[str]:
    """I18: a request that was refused before it had a row went nowhere."""
    for name, call in run.calls.items():
        if call.way in _ROWLESS and run.entries.get(name):
            yield f"{call}: went upstream"


def i14_everything_is_back_at_idle(
    before: Vitals, after: Vitals, slope: float | None, most_slope: float | None
) -> Iterator[str]:
    """I14: descriptors, sockets, streams, tasks as before the load; memory grows by less than allowed."""
    for name in ("descriptors", "sockets"):
        had, has = getattr(before, name), getattr(after, name)
        if has > had:
            yield f"{name}: {had} before, {has} after the load"
    said, then = after.runtime or {}, before.runtime or {}
    for name in HELD:
        if name in said and said[name] > then.get(name, 0):
            yield f"{name}: {then.get(name, 0)} before, {said[name]} after the load"
    if most_slope is not None and slope is not None and slope >= most_slope:
        yield f"memory grows by {slope:.2f} MiB per 10 000 exchanges"
