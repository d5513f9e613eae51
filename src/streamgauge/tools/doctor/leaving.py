"""Examines whether a client that leaves is noticed through proxies, and who cuts a silent stream."""

from __future__ import annotations

import time
from itertools import pairwise
from typing import Any

from streamgauge.tools.doctor.asking import LONG, Pace, Wanted, is_simulated
from streamgauge.tools.doctor.catalogue import proxy_of
from streamgauge.tools.doctor.hearing import Heard
from streamgauge.tools.doctor.visit import Visit, has_ended
from streamgauge.tools.doctor.wire import Answer, Unanswered

__all__ = ["examine_leaving", "examine_silence"]

_CONTENT = 1
_NOTICE_SECONDS = 2.0
"""The gateway notices within 0.1 s (SPEC §11.1); what is left is for the proxies between."""
_QUICK = frozenset({"completed", "stream_incomplete"})
_MARGIN, _SLACK = 1.5, 1.0
"""A keep-alive may be late by half its interval and a second before it is missed."""


async def examine_leaving(visit: Visit, model: str) -> None:
    """Begin a long stream, leave after its first words, and measure until the gateway knows."""

    def enough(heard: Heard) -> bool:
        return len(heard.content) >= _CONTENT

    def noticed(row: dict[str, Any]) -> bool:
        return row.get("state") == "draining" or has_ended(row)

    try:
        answer, heard = await visit.stream(model, LONG, leave=enough)
    except Unanswered as error:
        return visit.find("stream_not_given", f"no answer to a second chat request: {error}")
    stream_id = answer.headers.get("x-streamgauge-stream-id")
    if heard.left_at is None or heard.end_at is not None or stream_id is None:
        return _left_out(visit, "the stream had ended, or had no id")
    row = await visit.state(stream_id, noticed, _NOTICE_SECONDS)
    took_ms = (time.monotonic() - heard.left_at) * 1000
    if row is None:
        return _left_out(visit, "the gateway's page of the stream does not answer")
    if row.get("status") in _QUICK and took_ms < 300:
        return _left_out(visit, "the answer was complete too soon after we left")
    if row.get("status") in _QUICK or not noticed(row):
        told = row["status"] if has_ended(row) else f"still {row.get('state')}"
        text = f"{took_ms:,.0f} ms after we left the stream is {told}"
        proxy = proxy_of(answer.headers)
        return visit.find("cancel_not_passed", text, proxy, waited_ms=round(took_ms))
    return visit.note(f"leaving is noticed within {took_ms:.0f} ms", noticed_ms=round(took_ms))


def _left_out(visit: Visit, why: str) -> None:
    visit.report.leave_out(visit.subject, f"whether leaving is noticed: {why}")


async def examine_silence(visit: Visit, model: str) -> None:
    """Let a simulated stream fall silent for `visit.silence` seconds: is it cut, are there signs?"""
    if not is_simulated(model):
        why = "silence: only the simulator falls silent when asked (--model sim)"
        return visit.report.leave_out(visit.subject, why)
    visit.say(f"waiting through {visit.silence:g} s of silence")
    wanted = Wanted(8, Pace(tokens=2, gap_ms=visit.silence * 1000, first_ms=0))
    try:
        answer, heard = await visit.stream(model, wanted, seconds=visit.silence + 30)
    except Unanswered as error:
        return visit.find("stream_cut", f"no answer: {error}")
    longest = _longest_gap(answer)
    if heard.end_at is None:
        ended = answer.ended_at or answer.sent_at
        after = ended - answer.sent_at
        text = f"a silent stream was cut after {after:.1f} s, though {visit.silence:g} s were due"
        proxy = proxy_of(answer.headers)
        return visit.find("stream_cut", text, proxy, after_seconds=round(after, 1))
    if longest > visit.keepalive_seconds * _MARGIN + _SLACK:
        text = f"no byte for {longest:.1f} s; a sign of life was due each {visit.keepalive_seconds:g} s"
        proxy = proxy_of(answer.headers)
        return visit.find("keepalive_missing", text, proxy, silent_seconds=round(longest, 1))
    return visit.note(
        f"{visit.silence:g} s of silence pass uncut", silent_seconds=round(longest, 1)
    )


def _longest_gap(answer: Answer) -> float:
    """Return the longest time without a body byte, in seconds."""
    return max((later - earlier for earlier, later in pairwise(answer.reads)), default=0.0)
