"""The lines of `show` about a cost, term by term. What the terms are, the ledger's room knows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from streamgauge.cli.figures import Signs, amount
from streamgauge.core.nano import nano_text
from streamgauge.core.pricing import Price
from streamgauge.ledger.cost_terms import CostTerms, cost_terms, exact_amount

__all__ = ["cost_lines"]

Row = Mapping[str, Any]
Lines = list[tuple[str, str]]


def cost_lines(request: Row, signs: Signs) -> Lines:
    """Return name and text of each line; the last is what the row says, whatever the terms give."""
    booked = amount(request)
    if booked is None:
        reason = request["cost_reason"]
        return [("booked", signs.dash + (f"  {reason}" if reason else ""))]
    source = request["cost_source"]
    last = ("booked", f"{booked}  from {source}" if source else booked)
    found = cost_terms(request)
    if found.note is not None:
        return [("price", found.note), last]
    return [*_worked_out(found, signs), last]


def _worked_out(found: CostTerms, signs: Signs) -> Lines:
    if found.price is None:
        return []
    lines = [*_named(found.price), *_products(found, found.price, signs)]
    if found.agrees is False:
        # The row is the truth, not this page.
        lines.append(("together", f"{found.together}: not what was booked"))
    return lines


def _named(price: Price) -> Lines:
    named = " / ".join(text for text in (price.upstream, price.model) if text)
    if price.service_tier:
        named = f"{named}, served as {price.service_tier}".removeprefix(", ")
    return [("price of", named)] if named else []


def _products(found: CostTerms, price: Price, signs: Signs) -> Lines:
    lines = []
    for term in found.terms:
        rate = f"{nano_text(term.rate)} {price.currency} / 1M"
        product = f"{term.tokens} {signs.times} {rate} = {exact_amount(term)}"
        lines.append((term.name, product))
    if price.fee:
        lines.append(("fee", nano_text(price.fee)))
    return lines
