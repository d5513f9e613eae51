"""Compares the clock here with the Date that a server writes. Asks nobody (RFC 9110 §6.6.1)."""

from __future__ import annotations

import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

from streamgauge.tools.doctor.report import Report

__all__ = ["check_clock", "skew_of"]

_MOST = 30.0
"""Seconds. A Date is whole seconds and may be of a cached answer; keys expire by minutes."""


def skew_of(headers: Mapping[str, str], now: float) -> float | None:
    """Return by how many seconds the server's clock is ahead of `now`, None where it tells none.

    `now`: seconds since the epoch. `headers`: names in lower case.
    """
    try:
        return parsedate_to_datetime(headers["date"]).timestamp() - now
    except (KeyError, ValueError, OverflowError):
        return None


def check_clock(report: Report, subject: str, headers: Mapping[str, str]) -> None:
    """Note how far the clocks are apart, where that can be told."""
    skew = skew_of(headers, time.time())
    if skew is None or "age" in headers:
        return
    way = "ahead of" if skew > 0 else "behind"
    text = f"its clock is {abs(skew):.0f} s {way} the clock here"
    if abs(skew) > _MOST:
        report.find("clock_skew", subject, text, skew_seconds=round(skew, 1))
    else:
        report.note(subject, "its clock agrees with the one here", skew_seconds=round(skew, 1))
