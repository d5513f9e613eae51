"""Prices with tiers: which rates hold for a call, and what its row keeps of them."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamgauge.core.pricing import (
    CostReason,
    Money,
    Price,
    Rates,
    ServiceTier,
    Tier,
    cost_of,
    cost_or_reason,
    terms_of,
)
from streamgauge.core.usage import TokenUsage

USD = 10**9
FLEX = ServiceTier("flex", Rates(USD // 2, 5 * USD), (Tier(100, Rates(USD, 7 * USD)),))
PRICE = Price(
    "config",
    "USD",
    USD,
    10 * USD,
    USD // 10,
    fee=3,
    upstream="u",
    model="m",
    valid_from=7,
    tiers=(Tier(200, Rates(2 * USD, 15 * USD)),),
    service_tiers=(FLEX, ServiceTier("priority", Rates(2 * USD, 20 * USD))),
)


@pytest.mark.parametrize(
    ("tier", "read", "rates"),
    [
        (None, 200, PRICE.rates),
        (None, 201, Rates(2 * USD, 15 * USD)),
        ("default", 200, PRICE.rates),
        ("scale", 201, Rates(2 * USD, 15 * USD)),
        ("flex", 100, FLEX.rates),
        ("flex", 101, Rates(USD, 7 * USD)),
        ("Flex", 100, FLEX.rates),
        ("priority", 10**6, Rates(2 * USD, 20 * USD)),
    ],
)
def test_rates_follow_the_service_tier_and_then_the_length(
    tier: str | None, read: int, rates: Rates
) -> None:
    assert PRICE.served_as(tier).rates_for(read) == rates


def test_a_row_s_price_names_its_service_tier_and_keeps_no_other() -> None:
    flex, usual = PRICE.served_as("flex"), PRICE.served_as("default")
    assert (flex.service_tier, flex.service_tiers) == ("flex", ())
    assert (usual.service_tier, usual.service_tiers) == (None, ())
    assert usual == replace(PRICE, service_tiers=())
    kept = ("fee", "currency", "source", "upstream", "model", "valid_from")
    assert all(getattr(flex, name) == getattr(PRICE, name) for name in kept)
    assert flex.cache_read is None, "a tier has rates of its own, and none of the usual ones"
    plain = json.loads(flex.as_json())
    assert (plain["service_tier"], plain["tiers"]) == (
        "flex",
        [{"above": 100, "input": "1", "output": "7"}],
    )
    assert "service_tiers" not in plain
    (listed, other) = json.loads(PRICE.as_json())["service_tiers"]
    assert (listed["name"], listed["tiers"], other["name"]) == ("flex", plain["tiers"], "priority")


def test_a_price_without_service_tiers_is_the_same_however_it_is_served() -> None:
    price = replace(PRICE, service_tiers=())
    assert price.served_as("flex") is price


def test_a_price_is_not_free_while_one_of_its_tiers_costs() -> None:
    free = Price("config", "USD", 0, 0)
    assert free.is_free
    for tier in (
        ServiceTier("flex", Rates(0, 1)),
        ServiceTier("flex", Rates(0, 0), (Tier(1, Rates(1, 0)),)),
    ):
        assert not replace(free, service_tiers=(tier,)).is_free
    assert replace(free, service_tiers=(ServiceTier("flex", Rates(0, 0)),)).is_free


SATS = Price("config", "sat", 0, 0, fee=21 * 10**9)


@pytest.mark.parametrize(
    "usage", [TokenUsage(5, 5), TokenUsage(output=5), TokenUsage(input=5), TokenUsage(cache_read=1)]
)
def test_a_price_a_request_needs_no_count_of_tokens(usage: TokenUsage) -> None:
    assert cost_of(usage, SATS) == Money(21 * 10**9, "sat")


@pytest.mark.parametrize(
    ("usage", "price", "reason"),
    [
        # Of an answer that used nothing that is known it is not known either that it was one.
        (TokenUsage(), SATS, CostReason.USAGE_UNKNOWN),
        (TokenUsage(output=5), replace(SATS, input=1), CostReason.INPUT_UNKNOWN),
        (TokenUsage(output=5), replace(SATS, cache_read=1), CostReason.INPUT_UNKNOWN),
        (TokenUsage(output=5), replace(SATS, cache_write=1), CostReason.INPUT_UNKNOWN),
        (TokenUsage(output=5), replace(SATS, tiers=(Tier(9, Rates(0, 1)),)), CostReason.INPUT_UNKNOWN),
        (TokenUsage(input=5), replace(SATS, output=1), CostReason.OUTPUT_UNKNOWN),
        (TokenUsage(input=5), replace(SATS, reasoning=1), CostReason.OUTPUT_UNKNOWN),
        (TokenUsage(output=5), replace(SATS, output=None), CostReason.OUTPUT_UNPRICED),
    ],
)  # fmt: skip
def test_a_count_that_costs_is_needed(usage: TokenUsage, price: Price, reason: CostReason) -> None:
    assert cost_or_reason(usage, price) is reason


RATE = st.integers(0, 10**15)
RATES = st.builds(Rates, RATE, *[st.none() | RATE] * 4)
TIERS = st.lists(st.builds(Tier, st.integers(1, 10**6), RATES), max_size=3).map(
    lambda tiers: tuple(sorted(tiers, key=lambda tier: tier.above))
)
NAMES = st.sampled_from(["flex", "priority", "batch"])
PRICES = st.builds(
    Price,
    source=st.just("config"),
    currency=st.sampled_from(["USD", "EUR", "sat", "msat"]),
    input=RATE,
    output=st.none() | RATE,
    cache_read=st.none() | RATE,
    cache_write=st.none() | RATE,
    reasoning=st.none() | RATE,
    fee=RATE,
    upstream=st.none() | st.text(max_size=3),
    valid_from=st.none() | st.integers(0, 2**60),
    tiers=TIERS,
    service_tiers=st.lists(
        st.builds(ServiceTier, NAMES, RATES, TIERS), max_size=3, unique_by=lambda tier: tier.name
    ).map(tuple),
)
COUNT = st.integers(0, 10**6)
USAGES = st.builds(TokenUsage, COUNT, COUNT, *[st.none() | st.integers(0, 100)] * 3)


@given(PRICES, st.none() | NAMES)
@settings(deadline=None)
def test_every_price_survives_its_row(price: Price, tier: str | None) -> None:
    for each in (price, price.served_as(tier)):
        assert Price.from_json(each.as_json()) == each


@given(PRICES, st.none() | NAMES, USAGES)
@settings(deadline=None)
def test_a_row_s_price_gives_its_cost_again(
    price: Price, tier: str | None, usage: TokenUsage
) -> None:
    used = price.served_as(tier)
    kept = Price.from_json(used.as_json())
    assert cost_or_reason(usage, kept) == cost_or_reason(usage, used)
    assert kept.served_as("batch") == kept, "what a row keeps is not chosen from again"


@given(PRICES, st.none() | NAMES, USAGES)
@settings(deadline=None)
def test_the_terms_of_a_cost_add_up_to_it(
    price: Price, tier: str | None, usage: TokenUsage
) -> None:
    used = price.served_as(tier)
    terms, cost = terms_of(usage, used), cost_or_reason(usage, used)
    if isinstance(terms, CostReason) or isinstance(cost, CostReason):
        assert terms == cost
        return
    total = sum(term.tokens * term.rate for term in terms)
    assert cost.currency == price.currency
    assert -(10**6) <= 2 * (total - (cost.nano - price.fee) * 10**6) < 10**6
