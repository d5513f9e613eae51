"""Which token counts are believed (SPEC §6.3, FAULTS S24). It knows no key of any dialect."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Any, TypeGuard

import msgspec

from streamgauge.core.events import Noted
from streamgauge.core.record import Anomaly
from streamgauge.core.usage import MAX_COUNT, TokenUsage

__all__ = ["REFUSED", "Reading", "StatedCounts", "checked", "decimal_text", "is_count"]

_MAX_COST_DIGITS = 30


class StatedCounts(msgspec.Struct, frozen=True, gc=False):
    """Counts as they stood in the JSON, of any type; None where nothing stood."""

    input: Any = None
    output: Any = None
    cache_read: Any = None
    cache_write: Any = None
    reasoning: Any = None
    total: Any = None


class Reading(msgspec.Struct, frozen=True):
    """What was believed: `usage` None means refused as a whole. `notes`: the anomalies."""

    usage: TokenUsage | None
    notes: tuple[Noted, ...] = ()


REFUSED = Reading(None, (Noted(Anomaly.USAGE_REFUSED),))


def is_count(value: object) -> TypeGuard[int]:
    """Return whether `value` is an integer from 0 to MAX_COUNT; True and 3.0 are not."""
    return type(value) is int and 0 <= value <= MAX_COUNT


def checked(stated: StatedCounts) -> Reading:
    """Return the usage that `stated` makes, refused or flagged by SPEC §6.3.

    A part that is no count is not believed alone; a part larger than its whole refuses everything.
    """
    read, output = stated.input, stated.output
    if not (_unstated_or_count(read) and _unstated_or_count(output)):
        return REFUSED
    cache_read, cache_write, reasoning = stated.cache_read, stated.cache_write, stated.reasoning
    odd_part = False
    if not (
        _unstated_or_count(cache_read)
        and _unstated_or_count(cache_write)
        and _unstated_or_count(reasoning)
    ):
        odd_part = True
        cache_read, cache_write = _believable(cache_read), _believable(cache_write)
        reasoning = _believable(reasoning)
    cached = 0
    for part in (cache_read, cache_write):
        if part is not None:
            cached += part
    if (read is not None and cached > read) or (
        output is not None and reasoning is not None and reasoning > output
    ):
        return REFUSED
    if odd_part:
        cache_read, cache_write, reasoning = (
            part if is_count(part) else None for part in (cache_read, cache_write, reasoning)
        )
    usage = TokenUsage(read, output, cache_read, cache_write, reasoning)
    return Reading(usage, _notes(usage, odd_part or not _adds_up(stated)))


def _unstated_or_count(value: object) -> bool:
    return value is None or (type(value) is int and 0 <= value <= MAX_COUNT)


def _believable(part: object) -> int | None:
    """Return a part to keep: also one beyond MAX_COUNT, so that it refuses its smaller whole."""
    return part if type(part) is int and part >= 0 else None


def _adds_up(stated: StatedCounts) -> bool:
    if stated.total is None or stated.input is None:
        return True
    output = 0 if stated.output is None else stated.output  # an embedding states no output
    return bool(stated.total == stated.input + output)


def _notes(usage: TokenUsage, mismatch: bool) -> tuple[Noted, ...]:
    notes: tuple[Noted, ...] = (Noted(Anomaly.USAGE_MISMATCH),) if mismatch else ()
    if usage.input == 0 and usage.output:
        notes += (Noted(Anomaly.SUSPECT_USAGE),)
    return notes


def decimal_text(value: object) -> str | None:
    """Return an amount of money as plain decimal text, None when it is no amount ≥ 0.

    `value`: an int, a Decimal or a string, never a float: the text in the JSON is what counts.
    """
    if isinstance(value, bool) or not isinstance(value, int | str | Decimal):
        return None
    try:
        amount = Decimal(value)
    except (InvalidOperation, ValueError):
        return None
    if not amount.is_finite() or amount < 0 or abs(amount.adjusted()) > _MAX_COST_DIGITS:
        return None
    if len(amount.as_tuple().digits) > _MAX_COST_DIGITS:
        return None
    return format(amount, "f")
