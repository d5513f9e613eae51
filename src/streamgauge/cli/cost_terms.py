"""A row's cost, worked out term by term from the price that the row keeps (SPEC §7)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from streamgauge.cli.figures import Signs, amount
from streamgauge.core.nano import nano_text
from streamgauge.core.pricing import UPSTREAM_SOURCE, CostReason, Money, Price, Term, terms_of
from streamgauge.core.pricing import cost_or_reason as cost_from
from streamgauge.core.usage import TokenUsage

__all__ = ["cost_lines"]

Row = Mapping[str, Any]
Lines = list[tuple[str, str]]

_RATE_UNIT = 1_000_000


def cost_lines(request: Row, signs: Signs) -> Lines:
    """Return name and text of each line; the last is what the row says, whatever the terms give."""
    booked = amount(request)
    if booked is None:
        reason = request["cost_reason"]
        return [("booked", signs.dash + (f"  {reason}" if reason else ""))]
    source = request["cost_source"]
    last = ("booked", f"{booked}  from {source}" if source else booked)
    if source == UPSTREAM_SOURCE:
        return [("price", "as the upstream stated it for this call"), last]
    return [*_worked_out(request, signs), last]


def _worked_out(request: Row, signs: Signs) -> Lines:
    price = _price_of(request["price"])
    if price is None:
        return [("price", f"kept in no form that is known: {json.dumps(request['price'])}")]
    usage = _usage_of(request)
    terms = terms_of(usage, price)
    cost = cost_from(usage, price)
    if isinstance(terms, CostReason) or isinstance(cost, CostReason):
        return [("price", f"does not fit the row's counts: {cost}")]
    return [*_named(price), *_products(terms, price, signs), *_difference(request, cost)]


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


def _named(price: Price) -> Lines:
    named = " / ".join(text for text in (price.upstream, price.model) if text)
    if price.service_tier:
        named = f"{named}, served as {price.service_tier}".removeprefix(", ")
    return [("price of", named)] if named else []


def _products(terms: Sequence[Term], price: Price, signs: Signs) -> Lines:
    lines = []
    for term in terms:
        part = _exact(term.tokens * term.rate)
        rate = f"{nano_text(term.rate)} {price.currency} / 1M"
        lines.append((term.name, f"{term.tokens} {signs.times} {rate} = {part}"))
    if price.fee:
        lines.append(("fee", nano_text(price.fee)))
    return lines


def _exact(product: int) -> str:
    """Return tokens times nano-units a million, as units: six decimals more than nano has."""
    whole, rest = divmod(product, _RATE_UNIT)
    if not rest:
        return nano_text(whole)
    units, nano = divmod(whole, 10**9)
    return f"{units}.{nano:09d}{rest:06d}".rstrip("0")


def _difference(request: Row, cost: Money) -> Lines:
    """Say so when the terms do not give what was booked: the row is the truth, not this page."""
    if (cost.nano, cost.currency) == (request["cost_nano"], request["currency"]):
        return []
    return [("together", f"{cost}: not what was booked")]
