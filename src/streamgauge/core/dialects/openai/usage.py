"""Reads OpenAI's usage objects: chat's names and the Responses API's. It knows no frame."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec

from streamgauge.core.dialects.counts import (
    REFUSED,
    StatedCounts,
    checked,
    decimal_text,
)
from streamgauge.core.dialects.loose import load
from streamgauge.core.events import Event, UsageReported
from streamgauge.core.usage import MAX_COUNT, TokenUsage

__all__ = ["stands_twice", "usage_events", "usage_of"]

_UNREADABLE = (msgspec.MsgspecError, UnicodeError, RecursionError)
_Count = Annotated[int, msgspec.Meta(ge=0, le=MAX_COUNT)]
_decode_counts = msgspec.json.Decoder(dict[str, _Count | dict[str, _Count | None] | None]).decode
_NO_PARTS: Mapping[str, Any] = {}


def stands_twice(payload: bytes) -> bool:
    """Whether `usage` may be a duplicate, of which typed decoding keeps the last (FAULTS F40)."""
    return payload.count(b'"usage"') > 1


def usage_of(raw: msgspec.Raw) -> Any:
    """Return the value of a stated `usage`. Most hold counts alone, and are read typed.

    What is more is read loosely: other types, and a key that may stand twice. None: it is no JSON.
    """
    text = bytes(raw)
    try:
        counts = _decode_counts(text)
    except _UNREADABLE:
        counts = {}
    keys = len(counts)
    for value in counts.values():
        if type(value) is dict:
            keys += len(value)
    if keys and text.count(b'"') == 2 * keys:  # so no string stands there, and no key twice
        return counts
    loaded = load(text)
    return None if loaded is None else loaded.value


def usage_events(
    usage: Any, *, running: bool = False, alone: bool = False, service_tier: str | None = None
) -> tuple[Event, ...]:
    """Return the events of a stated `usage` value, already parsed (SPEC §6.1, §6.3)."""
    reading = REFUSED if not isinstance(usage, dict) else checked(_stated(usage))
    if reading.usage is None:
        # A frame of refused usage is still a usage frame: it must not reach whom we did not ask for.
        marker = (UsageReported(TokenUsage(), alone=True),) if alone else ()
        return (*marker, *reading.notes)
    cost = usage.get("cost")
    reported = UsageReported(
        reading.usage,
        running=running,
        alone=alone,
        service_tier=service_tier,
        cost=None if cost is None else decimal_text(cost),
    )
    return (reported, *reading.notes)


def _stated(usage: dict[str, Any]) -> StatedCounts:
    if "prompt_tokens" not in usage and ("input_tokens" in usage or "output_tokens" in usage):
        return _responses(usage)
    read_parts = _parts(usage, "prompt_tokens_details")
    hit = usage.get("prompt_cache_hit_tokens")
    cached = read_parts.get("cached_tokens")
    return StatedCounts(
        input=usage.get("prompt_tokens"),
        output=usage.get("completion_tokens"),
        cache_read=hit if cached is None else cached,
        cache_write=read_parts.get("cache_write_tokens"),
        reasoning=_parts(usage, "completion_tokens_details").get("reasoning_tokens"),
        total=usage.get("total_tokens"),
    )


def _responses(usage: dict[str, Any]) -> StatedCounts:
    read_parts = _parts(usage, "input_tokens_details")
    return StatedCounts(
        input=usage.get("input_tokens"),
        output=usage.get("output_tokens"),
        cache_read=read_parts.get("cached_tokens"),
        cache_write=read_parts.get("cache_write_tokens"),
        reasoning=_parts(usage, "output_tokens_details").get("reasoning_tokens"),
        total=usage.get("total_tokens"),
    )


def _parts(usage: dict[str, Any], key: str) -> Mapping[str, Any]:
    parts = usage.get(key)
    return parts if isinstance(parts, dict) else _NO_PARTS
