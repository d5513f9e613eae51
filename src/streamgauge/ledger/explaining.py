"""One exchange explained, as JSON: why it ended so, its moments, usage and cost. Opens no ledger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from streamgauge.core.nano import nano_text
from streamgauge.core.record import Status
from streamgauge.ledger.cost_terms import cost_terms, exact_amount
from streamgauge.ledger.moments import moments_of
from streamgauge.ledger.oddities import meaning_of
from streamgauge.ledger.reasons import why

__all__ = ["SOURCES", "billed_of", "explained", "usage_of"]

Row = Mapping[str, Any]
Page = dict[str, Any]

SOURCES: Mapping[str, str] = MappingProxyType(
    {
        "provider": "the upstream's final numbers",
        "timings": "llama.cpp's timings",
        "running": "the upstream's running count when it was cut",
        "counted": "counted here: frames with content, at most the tokens",
    }
)
"""What a source of counts means (SPEC §6.3)."""

_REPORTED = frozenset({"provider", "timings", "running"})
"""Sources that are the upstream's own word."""
_COUNTS = (
    ("input_tokens", "input_source"),
    ("cache_read_tokens", "input_source"),
    ("cache_write_tokens", "input_source"),
    ("output_tokens", "usage_source"),
    ("reasoning_tokens", "usage_source"),
)


def explained(request: Row, attempts: Sequence[Row]) -> Page:
    """Return the page of one exchange; rows as LedgerReader gives them."""
    return {
        "request": request,
        "attempts": attempts,
        "billed": [billed_of(attempt) for attempt in attempts],
        "why": why(request, attempts),
        "anomalies": [{"name": n, "meaning": meaning_of(n)} for n in request["anomalies"]],
        "timeline": [
            {"moment": each.name, "ms": each.ms} for each in moments_of(request, attempts)
        ],
        "usage": usage_of(request),
        "cost": _cost(request),
    }


def billed_of(attempt: Row) -> str | None:
    """Return whether an attempt is on the upstream's bill: no, perhaps or yes; None while it runs."""
    billed: bool | None = attempt["may_have_been_billed"]
    if billed is None:
        return None
    return "no" if not billed else "yes" if attempt["outcome"] == Status.COMPLETED else "perhaps"


def usage_of(request: Row) -> list[Page]:
    """Return each count of tokens as the upstream reported it and as it was booked."""
    return [_count(request, *names) for names in _COUNTS]


def _count(row: Row, name: str, source_name: str) -> Page:
    booked, source = row[name], row[source_name]
    return {
        "name": name,
        "booked": booked,
        "reported": booked if source in _REPORTED else None,
        "source": None if booked is None else source,
        "exact": booked is not None and source == "provider",
        "meaning": None if booked is None else SOURCES.get(source),
    }


def _cost(row: Row) -> Page:
    found = cost_terms(row)
    booked, together, price = found.booked, found.together, found.price
    currency = row["currency"]
    return {
        "booked": None if booked is None else nano_text(booked.nano),
        "booked_nano": None if booked is None else booked.nano,
        "currency": currency,
        "source": row["cost_source"],
        "reason": row["cost_reason"],
        "price": row["price"],
        "terms": [
            {
                "name": term.name,
                "tokens": term.tokens,
                "rate": nano_text(term.rate),
                "currency": currency,
                "amount": exact_amount(term),
            }
            for term in found.terms
        ],
        "fee": nano_text(price.fee) if price is not None and price.fee else None,
        "sum": None if together is None else nano_text(together.nano),
        "sum_nano": None if together is None else together.nano,
        "agrees": found.agrees,
        "note": found.note,
    }
