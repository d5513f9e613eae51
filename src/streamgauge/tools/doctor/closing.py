"""Examines whether an upstream stops when its caller leaves, by what its own pages say of it."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from streamgauge.config.upstream import Kind
from streamgauge.tools.doctor.asking import LONG, chat_body, dialect_of
from streamgauge.tools.doctor.hearing import Heard, hear
from streamgauge.tools.doctor.patient import Patient
from streamgauge.tools.doctor.wire import Unanswered, fetch

__all__ = ["examine_closing"]

_BEGIN_SECONDS = 60.0
_STOP_SECONDS = 2.0
"""A server that looks after each token has noticed long before."""
_LOOK_SECONDS = 0.02
_CONTENT = 1
"""Frames of content before we leave."""
_VLLM_BUSY = re.compile(rb"(?m)^vllm:num_requests_running(?:\{[^}]*\})? ([0-9.e+]+)$")

Busy = Callable[[Patient], Awaitable[int | None]]
"""Returns how many calls an upstream works on; None where it does not tell."""


async def _busy_slots(patient: Patient) -> int | None:
    slots = _json(await _page(patient, "/slots"))
    if not isinstance(slots, list):
        return None
    return sum(isinstance(slot, dict) and slot.get("is_processing") is True for slot in slots)


async def _running_requests(patient: Patient) -> int | None:
    found = _VLLM_BUSY.findall(await _page(patient, "/metrics") or b"")
    return sum(int(float(count)) for count in found) if found else None


async def _open_calls(patient: Patient) -> int | None:
    """Count what the simulator has begun and not ended."""
    text = await _page(patient, "/sim/calls")
    lines = None if text is None else [_json(line) for line in text.splitlines()]
    if lines is None or not all(isinstance(line, dict) for line in lines):
        return None
    return sum(line.get("ending") is None for line in lines)


_COUNTED: dict[Kind, Busy] = {
    Kind.LLAMACPP: _busy_slots,
    Kind.VLLM: _running_requests,
    Kind.SIM: _open_calls,
}


async def examine_closing(patient: Patient, model: str) -> None:
    """Begin a long stream, leave it after its first words, and measure until nothing runs."""
    report, subject = patient.report, patient.subject
    count = _COUNTED.get(patient.kind)
    before = None if count is None else await count(patient)
    if count is None or before is None:
        return report.leave_out(subject, "closing on cancel: it has no page that tells")
    left_at = await _leave(patient, model)
    if left_at is None:
        return report.leave_out(subject, "closing on cancel: its stream had ended, or said nothing")
    while True:
        busy = await count(patient)
        took_ms = (time.monotonic() - left_at) * 1000
        if busy is None:
            return report.leave_out(subject, "closing on cancel: its page went away")
        if busy <= before:
            return patient.note(f"closed {took_ms:.0f} ms after we left", closed_ms=round(took_ms))
        if took_ms > _STOP_SECONDS * 1000:
            text = f"still at work {took_ms:,.0f} ms after we left"
            return patient.find("close_ignored", text, waited_ms=round(took_ms), busy=busy)
        await asyncio.sleep(_LOOK_SECONDS)  # its page has no event to wait for


async def _leave(patient: Patient, model: str) -> float | None:
    """Return when we left, monotonic seconds; None where there was none to be left."""
    dialect = dialect_of(patient.kind)
    newer = patient.kind is Kind.OPENAI
    path, body = chat_body(dialect, model, LONG, newer_name=newer)

    def enough(heard: Heard) -> bool:
        return len(heard.content) >= _CONTENT

    try:
        _, heard = await hear(
            patient.address,
            patient.request(path, body),
            dialect,
            seconds=_BEGIN_SECONDS,
            leave=enough,
        )
    except Unanswered:
        return None
    return heard.left_at if heard.end_at is None else None


async def _page(patient: Patient, path: str) -> bytes | None:
    try:
        page = await fetch(patient.address, patient.request(path))
    except Unanswered:
        return None
    return page.body if page.status == 200 and page.whole else None


def _json(text: bytes | None) -> Any:
    try:
        return None if text is None else msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
