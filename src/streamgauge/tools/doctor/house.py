"""Judges what was looked up on this machine: warnings, ledger, disk, descriptors. Opens nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from streamgauge.tools.doctor.report import Report

__all__ = ["HouseFacts", "examine_house"]

_HERE = "this machine"
_ROOM = 512 << 20
"""Bytes that a disk should have left beside the spool: some 400 000 rows."""
_FUTURE_SECONDS = 60.0
_DESCRIPTORS = 4096
"""Half of what a fresh Linux grants as its hard limit, and 2 000 streams."""


@dataclass(frozen=True, slots=True)
class HouseFacts:
    """What was seen here. None is: not known, or there is none.

    `ledger_error`: why the ledger cannot be written, `ledger_damage`: why it cannot be read.
    `free_bytes`: on its disk. `newest_row_us` and `now_us`: µs since the epoch. `descriptors`: the
    hard limit. `max_streams`: of the configuration, 0 for no limit.
    """

    ledger: str
    now_us: int
    warnings: Sequence[str] = ()
    ledger_error: str | None = None
    ledger_damage: str | None = None
    spool_waits: bool = False
    spool_bytes: int = 0
    free_bytes: int | None = None
    newest_row_us: int | None = None
    descriptors: int | None = None
    max_streams: int = 0


def examine_house(facts: HouseFacts, report: Report) -> None:
    """Judge `facts` into `report`."""
    for warning in facts.warnings:
        report.find("config_warning", "configuration", warning)
    _examine_ledger(facts, report)
    _examine_disk(facts, report)
    _examine_descriptors(facts, report)


def _examine_ledger(facts: HouseFacts, report: Report) -> None:
    subject = f"ledger {facts.ledger}"
    if facts.ledger_damage is not None:
        return report.find("ledger_damaged", subject, facts.ledger_damage)
    if facts.ledger_error is not None:
        return report.find("ledger_unwritable", subject, facts.ledger_error)
    report.note(subject, "can be read and written")
    if facts.spool_waits:
        report.find("spool_waiting", subject, "its spool holds rows that the database has not")
    ahead = None if facts.newest_row_us is None else (facts.newest_row_us - facts.now_us) / 1e6
    if ahead is not None and ahead > _FUTURE_SECONDS:
        text = f"its newest row began {ahead:,.0f} s from now"
        report.find("ledger_clock", subject, text, ahead_seconds=round(ahead))
    return None


def _examine_disk(facts: HouseFacts, report: Report) -> None:
    if facts.free_bytes is None:
        return
    wanted = _ROOM + facts.spool_bytes
    text = f"{facts.free_bytes / 2**30:,.1f} GiB free on the ledger's disk"
    if facts.free_bytes < wanted:
        text = (
            f"{facts.free_bytes >> 20:,} MiB free on the ledger's disk, of {wanted >> 20:,} wanted"
        )
        report.find("disk_low", _HERE, text, free_bytes=facts.free_bytes, wanted_bytes=wanted)
    else:
        report.note(_HERE, text, free_bytes=facts.free_bytes)


def _examine_descriptors(facts: HouseFacts, report: Report) -> None:
    limit = facts.descriptors
    wanted = max(_DESCRIPTORS, 2 * facts.max_streams + 64) if facts.max_streams else _DESCRIPTORS
    if limit is None:
        report.note(_HERE, "descriptors are not limited")
    elif limit < wanted:
        text = f"at most {limit:,} descriptors, of {wanted:,} wanted"
        report.find("descriptors_low", _HERE, text, descriptors=limit, wanted=wanted)
    else:
        report.note(_HERE, f"up to {limit:,} descriptors", descriptors=limit)
