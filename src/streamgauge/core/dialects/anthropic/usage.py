"""Reads Anthropic's usage objects, which come in parts and leave the cache out of the input."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from streamgauge.core.dialects.counts import REFUSED, StatedCounts, checked, is_count
from streamgauge.core.dialects.loose import clean_label
from streamgauge.core.events import Event, Noted, UsageReported
from streamgauge.core.record import Anomaly
from streamgauge.core.usage import TokenUsage

__all__ = ["UNSTATED", "UsageState"]

UNSTATED: Mapping[str, object] = {
    "input_tokens": 0,
    "output_tokens": 0,
    "streamgauge": "unstated",
}
"""Usage for a stream made of an answer that states none: its readers insist on the counts."""

_INPUT, _OUTPUT = "input_tokens", "output_tokens"
_CACHE_READ, _CACHE_WRITE = "cache_read_input_tokens", "cache_creation_input_tokens"
_READ_FIELDS = (_INPUT, _CACHE_READ, _CACHE_WRITE)


class UsageState:
    """What the usage objects of one answer stated so far, each field in Anthropic's own meaning."""

    __slots__ = ("_stated", "_tier")

    def __init__(self) -> None:
        self._stated: dict[str, int] = {}
        self._tier: str | None = None

    def events(self, usage: Any, *, final: bool) -> tuple[Event, ...]:
        """Return the events of a stated `usage` value and remember it (SPEC §6.1).

        `final` False is `message_start`'s: its output count is a placeholder and not read. A
        field that is null or absent states nothing. Refused usage is forgotten as a whole.
        """
        if not isinstance(usage, dict):
            return REFUSED.notes
        if usage.get("streamgauge") == UNSTATED["streamgauge"]:
            return ()
        if isinstance(tier := usage.get("service_tier"), str):
            self._tier = clean_label(tier)
        newer = self._merged(usage, final=final)
        reading = checked(_ours(newer, usage, final=final))
        if reading.usage is None:
            return reading.notes
        notes = reading.notes
        if self._restated(newer) and Noted(Anomaly.USAGE_MISMATCH) not in notes:
            notes += (Noted(Anomaly.USAGE_MISMATCH),)
        self._stated = {key: count for key, count in newer.items() if is_count(count)}
        return (self._reported(reading.usage, final=final), *notes)

    def _merged(self, usage: Mapping[str, Any], *, final: bool) -> dict[str, Any]:
        keys = (*_READ_FIELDS, _OUTPUT) if final else _READ_FIELDS
        newer = {key: usage[key] for key in keys if usage.get(key) is not None}
        return {**self._stated, **newer}

    def _restated(self, newer: Mapping[str, Any]) -> bool:
        """Whether the input was stated before and is another now; an earlier 0 was no statement."""
        before = self._stated.get(_INPUT)
        return bool(before) and newer.get(_INPUT) != before

    def _reported(self, usage: TokenUsage, *, final: bool) -> UsageReported:
        return UsageReported(usage, final=final, service_tier=self._tier)


def _ours(stated: Mapping[str, Any], usage: Mapping[str, Any], *, final: bool) -> StatedCounts:
    """Return the counts in our meaning: input is everything read, cache included."""
    details = usage.get("output_tokens_details") if final else None
    return StatedCounts(
        input=_everything_read(stated),
        output=stated.get(_OUTPUT),
        cache_read=stated.get(_CACHE_READ),
        cache_write=stated.get(_CACHE_WRITE),
        reasoning=details.get("thinking_tokens") if isinstance(details, dict) else None,
    )


def _everything_read(stated: Mapping[str, Any]) -> Any:
    """Return input plus cache; an impossible input as it is, so that it is refused."""
    fresh = stated.get(_INPUT)
    if not is_count(fresh):
        return fresh
    cached = (stated.get(key) for key in (_CACHE_READ, _CACHE_WRITE))
    return fresh + sum(count for count in cached if is_count(count))
