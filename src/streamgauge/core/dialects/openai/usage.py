"""Reads OpenAI's usage objects: chat's names and the Responses API's. It knows no frame."""

from __future__ import annotations

from typing import Any

from streamgauge.core.dialects.counts import (
    REFUSED,
    Reading,
    StatedCounts,
    checked,
    decimal_text,
)
from streamgauge.core.events import Event, UsageReported
from streamgauge.core.usage import TokenUsage

__all__ = ["usage_events"]


def usage_events(
    usage: Any, *, running: bool = False, alone: bool = False, service_tier: str | None = None
) -> tuple[Event, ...]:
    """Return the events of a stated `usage` value, already parsed (SPEC §6.1, §6.3)."""
    reading = REFUSED if not isinstance(usage, dict) else checked(_stated(usage))
    if reading.usage is None:
        # A frame of refused usage is still a usage frame: it must not reach whom we did not ask for.
        marker = (UsageReported(TokenUsage(), alone=True),) if alone else ()
        return (*marker, *reading.notes)
    return (_reported(usage, reading, reading.usage, running, alone, service_tier), *reading.notes)


def _reported(
    usage: dict[str, Any],
    reading: Reading,
    counts: TokenUsage,
    running: bool,
    alone: bool,
    tier: str | None,
) -> UsageReported:
    return UsageReported(
        counts,
        running=running,
        alone=alone,
        service_tier=tier,
        cost=decimal_text(usage.get("cost")),
    )


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


def _parts(usage: dict[str, Any], key: str) -> dict[str, Any]:
    parts = usage.get(key)
    return parts if isinstance(parts, dict) else {}
