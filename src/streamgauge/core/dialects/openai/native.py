"""Reads the frames and answers of llama.cpp's own completion (WIRE §6.4). It knows no chat."""

from __future__ import annotations

from typing import Any

from streamgauge.core.dialects.counts import StatedCounts, checked
from streamgauge.core.dialects.loose import clean_label, clean_text
from streamgauge.core.events import Event, Finished, TextDelta, UsageReported

__all__ = ["is_native", "native_events"]


def is_native(members: dict[str, Any]) -> bool:
    """Return whether a frame is of the native form: text at the top beside the flag `stop`."""
    return "choices" not in members and isinstance(members.get("stop"), bool)


def native_events(members: dict[str, Any]) -> list[Event]:
    """Return the events of a native frame, but for its timings and its end."""
    events: list[Event] = []
    content, index, stop = members.get("content"), members.get("index"), members["stop"]
    if isinstance(content, str) and content:
        events.append(TextDelta(clean_text(content), index if type(index) is int else 0))
    events.extend(_usage(members, running=not stop))
    reason = members.get("stop_type")
    if stop and isinstance(reason, str) and reason not in ("", "none"):
        word = members.get("stopping_word")
        text = clean_text(word) if isinstance(word, str) else None
        at = index if type(index) is int else 0
        events.append(Finished(clean_label(reason), at, text or None))
    return events


def _usage(members: dict[str, Any], *, running: bool) -> list[Event]:
    read, written = members.get("tokens_evaluated"), members.get("tokens_predicted")
    if read is None and written is None:
        return []
    reading = checked(StatedCounts(input=read, output=written))
    if reading.usage is None:
        return list(reading.notes)
    return [UsageReported(reading.usage, running=running), *reading.notes]
