"""What tokens cost, in whole nano-units. Knows no file, no price list and no clock (SPEC §7)."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from streamgauge.core.nano import MAX_NANO, nano_rounded
from streamgauge.core.price import CONFIG_SOURCE, Money, Price, Rates, ServiceTier, Tier
from streamgauge.core.usage import TokenUsage

__all__ = [
    "CONFIG_SOURCE",
    "UPSTREAM_SOURCE",
    "Cost",
    "CostReason",
    "Money",
    "Price",
    "Rates",
    "ServiceTier",
    "Term",
    "Tier",
    "book_cost",
    "cost_of",
    "cost_or_reason",
    "reported_cost",
    "terms_of",
]

UPSTREAM_SOURCE = "upstream"
_RATE_UNIT = 1_000_000
_NOTHING_STATED = TokenUsage()


class CostReason(StrEnum):
    """Why a cost is null (SPEC §7.1), a closed list."""

    NO_PRICE = "no_price"
    USAGE_UNKNOWN = "usage_unknown"
    INPUT_UNKNOWN = "input_unknown"
    OUTPUT_UNKNOWN = "output_unknown"
    OUTPUT_UNPRICED = "output_unpriced"
    """The price has no rate for output, as for an embedding model, yet there was output."""
    USAGE_IMPOSSIBLE = "usage_impossible"
    """A count is negative, or the parts are more than their whole."""
    COST_IMPOSSIBLE = "cost_impossible"
    """The amount is more than a row can hold: what stated such counts is not believed so far."""


class Term(msgspec.Struct, frozen=True, gc=False):
    """One product of the price formula: `tokens` times `rate` (nano-units a million)."""

    name: str
    tokens: int
    rate: int


class Cost(msgspec.Struct, frozen=True, gc=False):
    """The four cost columns of a row: an amount with its source, or the reason there is none."""

    money: Money | None
    source: str | None
    reason: CostReason | None


def cost_of(usage: TokenUsage, price: Price | None) -> Money | None:
    """Return the price of `usage`, or None when a count it needs, or the price, is unknown."""
    cost = cost_or_reason(usage, price)
    return cost if isinstance(cost, Money) else None


def cost_or_reason(usage: TokenUsage, price: Price | None) -> Money | CostReason:
    """Return the price of `usage`, rounded half up to a nano-unit once, or why there is none."""
    if price is None:
        return CostReason.NO_PRICE
    terms = terms_of(usage, price)
    if isinstance(terms, CostReason):
        return terms
    total = 0
    for term in terms:
        total += term.tokens * term.rate
    nano = (total + _RATE_UNIT // 2) // _RATE_UNIT + price.fee
    return Money(nano, price.currency) if nano <= MAX_NANO else CostReason.COST_IMPOSSIBLE


def terms_of(usage: TokenUsage, price: Price) -> list[Term] | CostReason:
    """Return the products whose sum, divided by a million, plus the fee is the cost.

    Parts that the upstream did not state stay in their whole. Terms of no tokens are left out. A
    count that is not known is not missed where tokens of its kind cost nothing (sats a request).
    """
    if usage == _NOTHING_STATED:
        return CostReason.USAGE_UNKNOWN
    read, written = usage.input, usage.output
    rates = price.rates if read is None else price.rates_for(read)
    if read is None and (price.tiers or not rates.input_is_free):
        return CostReason.INPUT_UNKNOWN
    if reason := _unpriced_output(written, rates):
        return reason
    terms = [] if read is None else _input_terms(read, usage, rates)
    if written is not None and rates.output is not None:
        terms += _output_terms(written, usage, rates.output, rates.reasoning)
    charged = []
    for term in terms:
        if term.tokens < 0:
            return CostReason.USAGE_IMPOSSIBLE
        if term.tokens:
            charged.append(term)
    return charged


def reported_cost(text: str) -> Money | None:
    """Return OpenRouter's `usage.cost`, decimal text in USD, or None when it is no amount."""
    try:
        nano = nano_rounded(text)
    except ValueError:
        return None
    return Money(nano, "USD") if 0 <= nano <= MAX_NANO else None


def book_cost(usage: TokenUsage, price: Price | None, reported: str | None = None) -> Cost:
    """Return what the row says, by SPEC §7.2: config, upstream-reported, price list, nothing.

    `reported`: the upstream's own price as decimal text. A configured price that cannot be
    applied, for want of a count, leaves the word to the upstream.
    """
    cost = cost_or_reason(usage, price)
    configured = price is not None and price.source == CONFIG_SOURCE and isinstance(cost, Money)
    if not configured and reported is not None and (money := reported_cost(reported)):
        return Cost(money, UPSTREAM_SOURCE, None)
    if isinstance(cost, CostReason):
        return Cost(None, None, cost)
    return Cost(cost, price.source if price else None, None)


def _unpriced_output(output: int | None, rates: Rates) -> CostReason | None:
    if rates.output is None:
        return CostReason.OUTPUT_UNPRICED if output else None
    return CostReason.OUTPUT_UNKNOWN if output is None and not rates.output_is_free else None


def _input_terms(whole: int, usage: TokenUsage, rates: Rates) -> list[Term]:
    fresh, parts = whole, []
    for name, tokens, rate in (
        ("cache_read", usage.cache_read, rates.cache_read),
        ("cache_write", usage.cache_write, rates.cache_write),
    ):
        if tokens is not None:
            fresh -= tokens
            parts.append(Term(name, tokens, rates.input if rate is None else rate))
    return [Term("input", fresh, rates.input), *parts]


def _output_terms(whole: int, usage: TokenUsage, rate: int, reasoning: int | None) -> list[Term]:
    if usage.reasoning is None:
        return [Term("output", whole, rate)]
    return [
        Term("output", whole - usage.reasoning, rate),
        Term("reasoning", usage.reasoning, rate if reasoning is None else reasoning),
    ]
