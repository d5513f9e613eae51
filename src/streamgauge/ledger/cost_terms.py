"""A row's cost, worked out term by term from the price that the row keeps (SPEC §7). Prints nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from streamgauge.core.nano import nano_text
from streamgauge.core.pricing import UPSTREAM_SOURCE, CostReason, Money, Price, Term, terms_of
from streamgauge.core.pricing import cost_or_reason as cost_from
from streamgauge.core.usage import TokenUsage

__all__ = ["CostTerms", "cost_terms", "exact_amount"]

Row = Mapping[str, Any]

_RATE_UNIT = 1_000_000


@dataclass(frozen=True, slots=True)
class CostTerms:
    """How a row's cost comes about. `booked` is what the row says, whatever the terms give.

    `price` and `together` are None where nothing was worked out; `note` then says why, unless the
    row has no cost. `together`: the sum of `terms` and the price's fee, rounded once.
    """

    booked: Money | None
    price: Price | None = None
    terms: tuple[Term, ...] = ()
    together: Money | None = None
    note: str | None = None

    @property
    def agrees(self) -> bool | None:
        """Whether the terms give what was booked; None where there are none."""
        return None if self.together is None else self.together == self.booked


def cost_terms(request: Row) -> CostTerms:
    """Return the terms of a row as the reader gives it."""
    if request["cost_nano"] is None:
        return CostTerms(None)
    booked = Money(request["cost_nano"], request["currency"] or "")
    if request["cost_source"] == UPSTREAM_SOURCE:
        return CostTerms(booked, note="as the upstream stated it for this call")
    price = _price_of(request["price"])
    if price is None:
        kept = json.dumps(request["price"])
        return CostTerms(booked, note=f"kept in no form that is known: {kept}")
    usage = _usage_of(request)
    terms, together = terms_of(usage, price), cost_from(usage, price)
    if isinstance(terms, CostReason) or isinstance(together, CostReason):
        return CostTerms(booked, note=f"does not fit the row's counts: {together}")
    return CostTerms(booked, price, tuple(terms), together)


def exact_amount(term: Term) -> str:
    """Return tokens times rate, in units: it has six decimals more than a nano-unit."""
    whole, rest = divmod(term.tokens * term.rate, _RATE_UNIT)
    if not rest:
        return nano_text(whole)
    units, nano = divmod(whole, 10**9)
    return f"{units}.{nano:09d}{rest:06d}".rstrip("0")


def _price_of(price: object) -> Price | None:
    try:
        return Price.from_json(json.dumps(price))
    except (ValueError, KeyError, TypeError):
        return None


def _usage_of(request: Row) -> TokenUsage:
    return TokenUsage(
        input=request["input_tokens"],
        output=request["output_tokens"],
        cache_read=request["cache_read_tokens"],
        cache_write=request["cache_write_tokens"],
        reasoning=request["reasoning_tokens"],
    )
