"""Costs worked out by hand, and their exactness for any counts."""

from __future__ import annotations

import json
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamgauge.core.nano import MAX_NANO
from streamgauge.core.pricing import (
    Cost,
    CostReason,
    Money,
    Price,
    Rates,
    Term,
    Tier,
    book_cost,
    cost_of,
    cost_or_reason,
    reported_cost,
    terms_of,
)
from streamgauge.core.usage import MAX_COUNT, TokenUsage

USD = 1_000_000_000
SONNET = Price(
    source="config",
    currency="USD",
    input=3 * USD,
    output=15 * USD,
    cache_read=USD * 3 // 10,
    cache_write=USD * 375 // 100,
)
TIERED = Price(
    source="genai-prices 1",
    currency="USD",
    input=3 * USD,
    output=15 * USD,
    cache_read=USD * 3 // 10,
    tiers=(Tier(200_000, Rates(6 * USD, 22 * USD + USD // 2, USD * 6 // 10)),),
)


@pytest.mark.parametrize(
    ("usage", "nano"),
    [
        # 1000 x 3 + 500 x 15 = 10 500 micro-dollars
        (TokenUsage(1000, 500), 10_500_000),
        # (1000 - 600 - 100) x 3 + 600 x 0.3 + 100 x 3.75 + 10 x 15 = 900 + 180 + 375 + 150
        (TokenUsage(1000, 10, cache_read=600, cache_write=100), 1_605_000),
        # no rate for reasoning: it is charged as output
        (TokenUsage(0, 100, reasoning=40), 1_500_000),
        (TokenUsage(0, 0), 0),
        # cache parts not stated: all of the input at its own rate
        (TokenUsage(237, 35), 237 * 3000 + 35 * 15_000),
        (TokenUsage(237, 0, cache_read=236), 3000 + 236 * 300),
    ],
)
def test_a_cost_is_what_one_works_out_by_hand(usage: TokenUsage, nano: int) -> None:
    assert cost_of(usage, SONNET) == Money(nano, "USD")


def test_reasoning_has_its_own_rate_when_the_price_has_one() -> None:
    price = Price("config", "EUR", USD, 2 * USD, reasoning=5 * USD)
    # 10 x 1 + (30 - 20) x 2 + 20 x 5 = 130 micro-euros
    assert cost_of(TokenUsage(10, 30, reasoning=20), price) == Money(130_000, "EUR")


def test_a_cached_part_without_a_rate_is_charged_as_input() -> None:
    price = Price("config", "USD", 2 * USD, USD)
    usage = TokenUsage(100, 0, cache_read=60, cache_write=30)
    assert cost_of(usage, price) == Money(200_000, "USD")


def test_a_fee_is_charged_once_and_not_divided() -> None:
    price = Price("config", "sat", 0, 0, fee=7)
    assert cost_of(TokenUsage(1, 1), price) == Money(7, "sat")


def test_the_sum_is_rounded_once_and_half_up() -> None:
    half = Price("config", "USD", 500_000, 499_999)
    assert cost_of(TokenUsage(1, 0), half) == Money(1, "USD")
    assert cost_of(TokenUsage(0, 1), half) == Money(0, "USD")
    # 0.5 + 0.499999 nano: each rounded alone would be 1 + 0, and so is the sum
    assert cost_of(TokenUsage(1, 1), half) == Money(1, "USD")
    third = Price("config", "USD", 400_000, 400_000)
    # 0.4 + 0.4 = 0.8: rounding each term would lose it
    assert cost_of(TokenUsage(1, 1), third) == Money(1, "USD")


@pytest.mark.parametrize(("read", "nano"), [(200_000, 600_000_000), (200_001, 1_200_006_000)])
def test_a_long_context_tier_holds_for_all_tokens_above_its_start(read: int, nano: int) -> None:
    assert cost_of(TokenUsage(read, 0), TIERED) == Money(nano, "USD")


def test_cached_tokens_count_towards_the_tier_and_output_follows_it() -> None:
    usage = TokenUsage(200_001, 1000, cache_read=200_000)
    # 1 x 6 + 200 000 x 0.6 + 1000 x 22.5 = 142 506 micro-dollars
    assert cost_of(usage, TIERED) == Money(142_506_000, "USD")


@pytest.mark.parametrize(
    ("usage", "price", "reason"),
    [
        (TokenUsage(1, 1), None, CostReason.NO_PRICE),
        (TokenUsage(), SONNET, CostReason.USAGE_UNKNOWN),
        (TokenUsage(output=5), SONNET, CostReason.INPUT_UNKNOWN),
        (TokenUsage(input=5), SONNET, CostReason.OUTPUT_UNKNOWN),
        (TokenUsage(5, 5, cache_read=4, cache_write=2), SONNET, CostReason.USAGE_IMPOSSIBLE),
        (TokenUsage(5, 5, reasoning=6), SONNET, CostReason.USAGE_IMPOSSIBLE),
        (TokenUsage(-1, 5), SONNET, CostReason.USAGE_IMPOSSIBLE),
        (TokenUsage(5, 1), Price("config", "USD", 1, None), CostReason.OUTPUT_UNPRICED),
        (TokenUsage(MAX_COUNT, 1), SONNET, CostReason.COST_IMPOSSIBLE),
    ],
)
def test_an_unknown_cost_says_why(
    usage: TokenUsage, price: Price | None, reason: CostReason
) -> None:
    assert cost_or_reason(usage, price) is reason
    assert cost_of(usage, price) is None


@pytest.mark.parametrize("output", [None, 0])
def test_a_price_without_output_needs_no_output_count(output: int | None) -> None:
    embedding = Price("config", "USD", USD, None)
    assert cost_of(TokenUsage(1000, output), embedding) == Money(1_000_000, "USD")


def test_the_terms_spell_out_the_formula() -> None:
    usage = TokenUsage(1000, 10, cache_read=600, reasoning=0)
    assert terms_of(usage, SONNET) == [
        Term("input", 400, 3 * USD),
        Term("cache_read", 600, USD * 3 // 10),
        Term("output", 10, 15 * USD),
    ]


COUNTS = st.integers(0, 10**6) | st.integers(0, MAX_COUNT)
RATES = st.integers(0, 10**15)


@given(read=COUNTS, cached=COUNTS, written=COUNTS, wrote=COUNTS, thought=COUNTS, rates=st.tuples(
    RATES, RATES, RATES, RATES, RATES), fee=st.integers(0, 10**12))  # fmt: skip
@settings(deadline=None)
def test_any_cost_is_the_exact_fraction_rounded_half_up(
    read: int,
    cached: int,
    written: int,
    wrote: int,
    thought: int,
    rates: tuple[int, int, int, int, int],
    fee: int,
) -> None:
    usage = TokenUsage(read + cached + written, wrote + thought, cached, written, thought)
    price = Price("config", "USD", *rates, fee=fee)
    counts = (read, wrote, cached, written, thought)
    exact = Fraction(sum(n * rate for n, rate in zip(counts, rates, strict=True)), 10**6) + fee
    money = cost_of(usage, price)
    if money is None:
        assert exact + Fraction(1, 2) > MAX_NANO
    else:
        assert Fraction(-1, 2) < money.nano - exact <= Fraction(1, 2)


def test_a_price_goes_through_json_as_decimal_text() -> None:
    price = Price(
        source="genai-prices 1",
        currency="USD",
        input=3 * USD,
        output=15 * USD,
        cache_read=USD * 3 // 10,
        fee=1,
        upstream="cloud",
        model="claude",
        valid_from=1_735_689_600_000_000,
        tiers=(Tier(200_000, Rates(6 * USD, None)),),
    )
    assert json.loads(price.as_json()) == {
        "source": "genai-prices 1",
        "currency": "USD",
        "input": "3",
        "output": "15",
        "cache_read": "0.3",
        "fee": "0.000000001",
        "upstream": "cloud",
        "model": "claude",
        "valid_from": 1_735_689_600_000_000,
        "tiers": [{"above": 200_000, "input": "6"}],
    }
    assert Price.from_json(price.as_json()) == price


@given(st.builds(Price, source=st.just("config"), currency=st.text(max_size=4), input=RATES,
                 output=st.none() | RATES, cache_read=st.none() | RATES, fee=RATES))  # fmt: skip
@settings(deadline=None)
def test_every_price_survives_json(price: Price) -> None:
    assert Price.from_json(price.as_json()) == price


def test_a_price_is_free_only_without_any_rate_or_fee() -> None:
    assert Price("config", "USD", 0, 0, cache_read=0).is_free
    assert Price("config", "USD", 0, None).is_free
    assert not Price("config", "USD", 0, 0, fee=1).is_free
    assert not Price("config", "USD", 0, 0, tiers=(Tier(1, Rates(0, 1)),)).is_free


@pytest.mark.parametrize(
    ("text", "nano"), [("0.00014", 140_000), ("1.4e-05", 14_000), ("0", 0), ("2", 2 * USD)]
)
def test_a_reported_cost_is_read_as_decimal_text(text: str, nano: int) -> None:
    assert reported_cost(text) == Money(nano, "USD")


def test_the_largest_amount_is_what_a_column_holds() -> None:
    def price(fee: int) -> Price:
        return Price("config", "USD", 0, 0, fee=fee)

    assert cost_of(TokenUsage(1, 1), price(MAX_NANO)) == Money(MAX_NANO, "USD")
    assert cost_of(TokenUsage(1, 1), price(MAX_NANO + 1)) is None
    assert reported_cost("9223372036.854775807") == Money(MAX_NANO, "USD")
    assert reported_cost("9223372036.854775808") is None


@pytest.mark.parametrize("text", ["", "free", "-0.1", "NaN", "Infinity"])
def test_a_reported_cost_that_is_no_amount_is_unknown(text: str) -> None:
    assert reported_cost(text) is None


LISTED = Price("genai-prices 1", "USD", USD, USD)


@pytest.mark.parametrize(
    ("usage", "price", "reported", "cost"),
    [
        (TokenUsage(1, 1), SONNET, "9", Cost(Money(18_000, "USD"), "config", None)),
        (TokenUsage(1, 1), LISTED, "9", Cost(Money(9 * USD, "USD"), "upstream", None)),
        (TokenUsage(1, 1), LISTED, "0", Cost(Money(0, "USD"), "upstream", None)),
        (TokenUsage(1, 1), LISTED, None, Cost(Money(2000, "USD"), "genai-prices 1", None)),
        (TokenUsage(1, 1), None, "9", Cost(Money(9 * USD, "USD"), "upstream", None)),
        (TokenUsage(), SONNET, "9", Cost(Money(9 * USD, "USD"), "upstream", None)),
        (TokenUsage(1, 1), None, None, Cost(None, None, CostReason.NO_PRICE)),
        (TokenUsage(1, 1), None, "?", Cost(None, None, CostReason.NO_PRICE)),
        (TokenUsage(output=1), LISTED, None, Cost(None, None, CostReason.INPUT_UNKNOWN)),
        (TokenUsage(1, 1), LISTED, "1e12", Cost(Money(2000, "USD"), "genai-prices 1", None)),
        (TokenUsage(MAX_COUNT, 1), SONNET, "9", Cost(Money(9 * USD, "USD"), "upstream", None)),
    ],
)
def test_the_sources_of_a_cost_have_their_order(
    usage: TokenUsage, price: Price | None, reported: str | None, cost: Cost
) -> None:
    assert book_cost(usage, price, reported) == cost


def test_money_reads_as_a_decimal_with_its_currency() -> None:
    assert str(Money(123_450, "USD")) == "0.00012345 USD"
    assert Decimal(str(Money(5, "msat")).split()[0]) == Decimal("0.000000005")


def test_every_member_of_a_price_survives_json() -> None:
    rates = Rates(6, 7, 8, 9, 10)
    price = Price("config", "EUR", 1, 2, 3, 4, 5, 11, "up", "m", 12, (Tier(13, rates),))
    assert Price.from_json(price.as_json()) == price
    assert Price.from_json(price.as_json().encode()) == price
    bare = Price("config", "EUR", 1, None)
    assert Price.from_json(bare.as_json()) == bare
    assert bare.as_json() == (
        '{"source":"config","currency":"EUR","input":"0.000000001","fee":"0"}'
    )
    assert '"currency":"ü"' in Price("config", "ü", 1, None).as_json()


@pytest.mark.parametrize("missing", ["source", "currency", "input", "fee"])
def test_a_price_without_what_it_must_have_is_no_price(missing: str) -> None:
    plain = json.loads(SONNET.as_json())
    del plain[missing]
    with pytest.raises(KeyError):
        Price.from_json(json.dumps(plain))


@pytest.mark.parametrize("name", ["input", "output", "cache_read", "cache_write", "reasoning"])
def test_each_rate_above_nought_makes_a_price_that_costs(name: str) -> None:
    free = {"input": 0, "output": 0}
    assert not Price("config", "USD", **{**free, name: 1}).is_free


def test_the_highest_tier_that_is_passed_holds() -> None:
    tiers = tuple(Tier(above, Rates(above, 0)) for above in (10, 20, 30))
    price = Price("config", "USD", 1, 0, tiers=tiers)
    assert [price.rates_for(read).input for read in (10, 11, 20, 21, 31)] == [1, 10, 10, 20, 30]


def test_each_part_has_its_term() -> None:
    price = Price("config", "USD", 1, 2, 3, 4, 5)
    assert terms_of(TokenUsage(10, 9, 2, 3, 4), price) == [
        Term("input", 5, 1),
        Term("cache_read", 2, 3),
        Term("cache_write", 3, 4),
        Term("output", 5, 2),
        Term("reasoning", 4, 5),
    ]
    plain = Price("config", "USD", 1, 2)
    assert terms_of(TokenUsage(10, 9, 2, 3, 4), plain) == [
        Term("input", 5, 1),
        Term("cache_read", 2, 1),
        Term("cache_write", 3, 1),
        Term("output", 5, 2),
        Term("reasoning", 4, 2),
    ]
    embedding = Price("config", "USD", 1, None)
    assert terms_of(TokenUsage(10, 0, reasoning=4), embedding) == [Term("input", 10, 1)]
