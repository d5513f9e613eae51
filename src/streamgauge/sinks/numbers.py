"""Which fields of a record are numbers, in the order of SPEC §8.3. Knows no sink."""

from __future__ import annotations

from dataclasses import fields
from typing import get_args, get_type_hints

from streamgauge.core.record import ExchangeRecord

__all__ = ["numbers_of"]

_TAGGED = frozenset({"streaming"})
"""A tag already (SPEC §16.2)."""


def numbers_of(record_class: type[ExchangeRecord]) -> tuple[str, ...]:
    """Return the names of the fields that hold counts, times, rates, amounts and switches."""
    hints = get_type_hints(record_class)
    return tuple(
        f.name
        for f in fields(record_class)
        if f.name not in _TAGGED
        and {int, float, bool} & {*(get_args(hints[f.name]) or (hints[f.name],))}
    )
