"""What tokens cost, in whole nano-units. Knows no file, no price list and no clock (SPEC §7)."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any, Self

from streamgauge.core.nano import nano_from_decimal, nano_rounded, nano_text
from streamgauge.core.usage import TokenUsage

__all__ = [
    "CONFIG_SOURCE",
    "UPSTREAM_SOURCE",
    "Cost",
    "CostReason",
    "Money",
    "Price",
    "Rates",
    "Term",
    "Tier",
    "book_cost",
    "cost_of",
    "cost_or_reason",
    "reported_cost",
    "terms_of",
]

CONFIG_SOURCE = "config"
UPSTREAM_SOURCE = "upstream"
_RATE_UNIT = 1_000_000


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


@dataclass(frozen=True, slots=True)
class Money:
    """An amount in whole nano-units (1e-9) of `currency`. Unlike currencies are never added."""

    nano: int
    currency: str

    def __str__(self) -> str:
        return f"{nano_text(self.nano)} {self.currency}"


@dataclass(frozen=True, slots=True)
class Rates:
    """Nano-units for a million tokens. A part without its own rate is charged as its whole.

    `output` None: output is not priced at all (embedding models).
    """

    input: int
    output: int | None
    cache_read: int | None = None
    cache_write: int | None = None
    reasoning: int | None = None


@dataclass(frozen=True, slots=True)
class Tier:
    """Rates that hold for *all* tokens of a call whose input is more than `above` tokens."""

    above: int
    rates: Rates


@dataclass(frozen=True, slots=True)
class Price:
    """What one model costs at one upstream, as it stands in a row.

    Rates in nano-units for a million tokens, `fee` in nano-units a request, `valid_from` in µs
    since the epoch. `source`: `config` or `genai-prices <version>`. `tiers` rise by `above`.
    """

    source: str
    currency: str
    input: int
    output: int | None
    cache_read: int | None = None
    cache_write: int | None = None
    reasoning: int | None = None
    fee: int = 0
    upstream: str | None = None
    model: str | None = None
    valid_from: int | None = None
    tiers: tuple[Tier, ...] = ()

    @property
    def rates(self) -> Rates:
        """The rates below the first tier."""
        return Rates(self.input, self.output, self.cache_read, self.cache_write, self.reasoning)

    @property
    def is_free(self) -> bool:
        """True when no count of tokens could ever cost anything."""
        every = [self.rates, *(tier.rates for tier in self.tiers)]
        return not self.fee and not any(
            getattr(rates, field.name) for rates in every for field in fields(Rates)
        )

    def rates_for(self, input_tokens: int) -> Rates:
        """Return the rates of a call that read `input_tokens`, cached ones included."""
        chosen = self.rates
        for tier in self.tiers:
            if input_tokens > tier.above:
                chosen = tier.rates
        return chosen

    def as_json(self) -> str:
        """Return the row's `price` column: rates and fee as decimal text for a million tokens."""
        plain: dict[str, Any] = {"source": self.source, "currency": self.currency}
        plain |= _rates_as_text(self.rates)
        plain["fee"] = nano_text(self.fee)
        for name in ("upstream", "model", "valid_from"):
            if (value := getattr(self, name)) is not None:
                plain[name] = value
        if self.tiers:
            plain["tiers"] = [
                {"above": tier.above, **_rates_as_text(tier.rates)} for tier in self.tiers
            ]
        return json.dumps(plain, ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Read what `as_json` wrote. Raises ValueError or KeyError on anything else."""
        plain: dict[str, Any] = json.loads(text)
        rates = _rates_from_text(plain)
        return cls(
            source=plain["source"],
            currency=plain["currency"],
            input=rates.input,
            output=rates.output,
            cache_read=rates.cache_read,
            cache_write=rates.cache_write,
            reasoning=rates.reasoning,
            fee=nano_from_decimal(plain["fee"]),
            upstream=plain.get("upstream"),
            model=plain.get("model"),
            valid_from=plain.get("valid_from"),
            tiers=tuple(
                Tier(tier["above"], _rates_from_text(tier)) for tier in plain.get("tiers", ())
            ),
        )


@dataclass(frozen=True, slots=True)
class Term:
    """One product of the price formula: `tokens` times `rate` (nano-units a million)."""

    name: str
    tokens: int
    rate: int


@dataclass(frozen=True, slots=True)
class Cost:
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
    total = sum(term.tokens * term.rate for term in terms)
    return Money((total + _RATE_UNIT // 2) // _RATE_UNIT + price.fee, price.currency)


def terms_of(usage: TokenUsage, price: Price) -> list[Term] | CostReason:
    """Return the products whose sum, divided by a million, plus the fee is the cost.

    Parts that the upstream did not state stay in their whole. Terms of no tokens are left out.
    """
    if usage == TokenUsage():
        return CostReason.USAGE_UNKNOWN
    if usage.input is None:
        return CostReason.INPUT_UNKNOWN
    rates = price.rates_for(usage.input)
    if reason := _unpriced_output(usage.output, rates):
        return reason
    terms = _input_terms(usage.input, usage, rates)
    if usage.output is not None and rates.output is not None:
        terms += _output_terms(usage.output, usage, rates.output, rates.reasoning)
    if any(term.tokens < 0 for term in terms):
        return CostReason.USAGE_IMPOSSIBLE
    return [term for term in terms if term.tokens]


def reported_cost(text: str) -> Money | None:
    """Return OpenRouter's `usage.cost`, decimal text in USD, or None when it is no amount."""
    try:
        nano = nano_rounded(text)
    except ValueError:
        return None
    return Money(nano, "USD") if nano >= 0 else None


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
    if rates.output is not None:
        return CostReason.OUTPUT_UNKNOWN if output is None else None
    return CostReason.OUTPUT_UNPRICED if output else None


def _input_terms(whole: int, usage: TokenUsage, rates: Rates) -> list[Term]:
    fresh, terms = whole, []
    for name in ("cache_read", "cache_write"):
        tokens: int | None = getattr(usage, name)
        if tokens is not None:
            rate: int | None = getattr(rates, name)
            fresh -= tokens
            terms.append(Term(name, tokens, rates.input if rate is None else rate))
    return [Term("input", fresh, rates.input), *terms]


def _output_terms(whole: int, usage: TokenUsage, rate: int, reasoning: int | None) -> list[Term]:
    if usage.reasoning is None:
        return [Term("output", whole, rate)]
    return [
        Term("output", whole - usage.reasoning, rate),
        Term("reasoning", usage.reasoning, rate if reasoning is None else reasoning),
    ]


def _rates_as_text(rates: Rates) -> dict[str, str]:
    pairs = ((field.name, getattr(rates, field.name)) for field in fields(Rates))
    return {name: nano_text(rate) for name, rate in pairs if rate is not None}


def _rates_from_text(plain: dict[str, Any]) -> Rates:
    def rate(name: str) -> int | None:
        return nano_from_decimal(plain[name]) if name in plain else None

    return Rates(
        nano_from_decimal(plain["input"]),
        rate("output"),
        rate("cache_read"),
        rate("cache_write"),
        rate("reasoning"),
    )
