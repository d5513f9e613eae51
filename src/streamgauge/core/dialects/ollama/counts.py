"""Reads Ollama's counts and durations, which stand in the last line itself (WIRE §7.1)."""

from __future__ import annotations

from typing import Any

from streamgauge.core.dialects.counts import StatedCounts, checked, is_count
from streamgauge.core.dialects.ollama.wire import Line
from streamgauge.core.events import Event, Noted, TimingsReported, UsageReported
from streamgauge.core.record import Anomaly
from streamgauge.core.usage import Timings

__all__ = ["count_events"]

_NS_PER_MS = 1_000_000
_NS_PER_SECOND = 1_000_000_000
_NO_TIMINGS = Timings()


def count_events(line: Line) -> tuple[Event, ...]:
    """Return the events for the counts and durations of a last line.

    The server leaves out what is 0 and, when all was cached, the prompt's count: absent is
    unknown. A duration that is no count is left out and noted.
    """
    return (*_usage(line), *_timings(line))


def _usage(line: Line) -> tuple[Event, ...]:
    if line.prompt_eval_count is None and line.eval_count is None:
        return ()
    reading = checked(StatedCounts(input=line.prompt_eval_count, output=line.eval_count))
    if reading.usage is None:
        return reading.notes
    return (UsageReported(reading.usage), *reading.notes)


def _timings(line: Line) -> tuple[Event, ...]:
    """Return the times as llama.cpp's: milliseconds, and the rates that `ollama --verbose` shows.

    The counts are left out: whether cached tokens are in `prompt_eval_count` depends on the
    version, and llama.cpp's `prompt_n` never has them.
    """
    prompt, generation = _duration(line.prompt_eval_duration), _duration(line.eval_duration)
    timings = Timings(
        prompt_ms=_ms(prompt),
        prompt_per_second=_rate(line.prompt_eval_count, prompt),
        predicted_ms=_ms(generation),
        predicted_per_second=_rate(line.eval_count, generation),
    )
    told = () if timings == _NO_TIMINGS else (TimingsReported(timings),)
    stated = (line.prompt_eval_duration, line.eval_duration)
    odd = any(duration is not None and not is_count(duration) for duration in stated)
    return (*told, Noted(Anomaly.TYPE_MISMATCH)) if odd else told


def _duration(value: Any) -> int | None:
    return value if is_count(value) else None


def _ms(duration: int | None) -> float | None:
    return None if duration is None else duration / _NS_PER_MS


def _rate(count: Any, duration: int | None) -> float | None:
    """Return tokens a second, None where one of the two is not known or no time passed."""
    if not is_count(count) or not duration:
        return None
    return count * _NS_PER_SECOND / duration
