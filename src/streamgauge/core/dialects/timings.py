"""Reads llama.cpp's `timings` object (WIRE §6.2). It knows not where it stood."""

from __future__ import annotations

import math
from dataclasses import fields
from decimal import Decimal
from typing import Any

import msgspec

from streamgauge.core.dialects.counts import is_count
from streamgauge.core.dialects.loose import load
from streamgauge.core.events import Event, Noted, TimingsReported
from streamgauge.core.record import Anomaly
from streamgauge.core.usage import MAX_COUNT, Timings

__all__ = ["timings_events", "timings_of"]

_COUNTS = frozenset({"prompt_n", "predicted_n", "cache_n"})
_NAMES = tuple(f.name for f in fields(Timings))
_NOTHING = Timings()
_decode = msgspec.json.Decoder(Timings).decode


def timings_events(raw: msgspec.Raw) -> tuple[Event, ...]:
    """Return the event for a `timings` value on the wire: typed where it is regular, else loosely."""
    try:
        timings = _decode(raw)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        loaded = load(bytes(raw))
        return timings_of(None if loaded is None else loaded.value)
    if _regular(timings):
        return (TimingsReported(timings),) if timings != _NOTHING else ()
    return timings_of({name: getattr(timings, name) for name in _NAMES})


def _regular(t: Timings) -> bool:
    return all(
        n is None or 0 <= n <= MAX_COUNT for n in (t.prompt_n, t.predicted_n, t.cache_n)
    ) and all(
        x is None or 0 <= x < math.inf
        for x in (t.prompt_ms, t.prompt_per_second, t.predicted_ms, t.predicted_per_second)
    )


def timings_of(value: Any) -> tuple[Event, ...]:
    """Return the events for a parsed `timings`: what is no number of its kind is left out, noted."""
    if not isinstance(value, dict):
        return (Noted(Anomaly.TYPE_MISMATCH),)
    believed = {name: _number(name, value.get(name)) for name in _NAMES}
    odd = any(value.get(name) is not None and believed[name] is None for name in _NAMES)
    notes = (Noted(Anomaly.TYPE_MISMATCH),) if odd else ()
    if all(number is None for number in believed.values()):
        return notes
    return (TimingsReported(Timings(**believed)), *notes)


def _number(name: str, value: Any) -> Any:
    if name in _COUNTS:
        return value if is_count(value) else None
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return None
    if not (value == value and 0 <= value <= MAX_COUNT):  # NaN is unequal to itself
        return None
    return float(value)
