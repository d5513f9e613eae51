"""Which price holds: configured entries, then the list."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import genai_prices
import pytest
from pydantic import ValidationError

from streamgauge.config.load import LoadOptions, load
from streamgauge.config.price_entry import PriceEntry
from streamgauge.config.prices import PriceBook
from streamgauge.config.problems import ConfigError
from streamgauge.core.pricing import Price, Rates, ServiceTier, Tier, cost_of
from streamgauge.core.usage import TokenUsage

NOW = 1_780_000_000_000_000
LISTED = f"genai-prices {genai_prices.__version__}"


def book(*entries: dict[str, object]) -> PriceBook:
    return PriceBook([PriceEntry.model_validate(entry) for entry in entries])


def configured(prices: PriceBook, upstream: str, model: str | None, at: int = NOW) -> int | None:
    price = prices.price_for(upstream, "sim", model, at)
    return None if price is None else price.input


def test_the_first_entry_whose_globs_fit_is_used() -> None:
    prices = book(
        {"upstream": "a", "model": "qwen*", "input": 1, "output": 2},
        {"model": "qwen*", "input": 3},
        {"upstream": "a*", "input": 4},
    )
    assert configured(prices, "a", "qwen3") == 10**9
    assert configured(prices, "b", "qwen3") == 3 * 10**9
    assert configured(prices, "ab", "llama") == 4 * 10**9
    assert configured(prices, "ab", None) == 4 * 10**9
    assert configured(prices, "b", "llama") is None


def test_of_the_same_globs_the_latest_that_holds_is_used() -> None:
    prices = book(
        {"model": "m", "input": 1},
        {"model": "m", "input": 3, "valid_from": "2026-03-01"},
        {"model": "m", "input": 2, "valid_from": "2026-02-01T00:00:00Z"},
    )
    second = 1_000_000
    february = 1_769_904_000 * second
    assert configured(prices, "u", "m", february - 1) == 10**9
    assert configured(prices, "u", "m", february) == 2 * 10**9
    assert configured(prices, "u", "m", NOW) == 3 * 10**9


def test_an_entry_that_does_not_hold_yet_leaves_the_word_to_the_next() -> None:
    prices = book({"model": "m", "input": 1, "valid_from": "2099-01-01"}, {"input": 2})
    assert configured(prices, "u", "m") == 2 * 10**9


def test_a_configured_price_keeps_its_globs_and_every_rate() -> None:
    entry = {
        "upstream": "u*", "model": "m*", "input": Decimal("0.1"), "output": "0.2", "fee": "0.003",
        "cache_read": "0.01", "cache_write": "0.02", "reasoning": "0.3", "currency": "eur",
    }  # fmt: skip
    assert book(entry).price_for("u1", "openai", "m1", NOW) == Price(
        source="config",
        currency="EUR",
        input=100_000_000,
        output=200_000_000,
        cache_read=10_000_000,
        cache_write=20_000_000,
        reasoning=300_000_000,
        fee=3_000_000,
        upstream="u*",
        model="m*",
    )


@pytest.mark.parametrize("kind", ["llamacpp", "ollama", "vllm", "sim"])
def test_own_machines_have_no_listed_price(kind: str) -> None:
    assert book().price_for("u", kind, "gpt-4o", NOW) is None


@pytest.mark.parametrize("model", [None, "", "no-such-model-anywhere"])
def test_an_unknown_model_has_no_price(model: str | None) -> None:
    assert book().price_for("u", "openai", model, NOW) is None


@pytest.mark.parametrize(
    ("kind", "model", "usage"),
    [
        ("anthropic", "claude-sonnet-4-5-20250929", TokenUsage(1000, 500)),
        ("anthropic", "claude-sonnet-4-5", TokenUsage(200_000, 500, 150_000, 20_000)),
        ("anthropic", "claude-sonnet-4-5", TokenUsage(200_001, 500, 150_000, 20_000)),
        ("openai", "gpt-4o", TokenUsage(123_456, 7_890, cache_read=100_000)),
        ("openrouter", "anthropic/claude-sonnet-4.5", TokenUsage(321, 123)),
        ("openai", "text-embedding-3-small", TokenUsage(1000, 0)),
    ],
)
def test_a_listed_cost_is_the_list_s_own_to_the_nano_unit(
    kind: str, model: str, usage: TokenUsage
) -> None:
    price = book().price_for("u", kind, model, NOW)
    theirs = genai_prices.calc_price(
        genai_prices.Usage(
            input_tokens=usage.input,
            output_tokens=usage.output,
            cache_read_tokens=usage.cache_read,
            cache_write_tokens=usage.cache_write,
        ),
        model,
        provider_id=kind,
        genai_request_timestamp=datetime.fromtimestamp(NOW / 1e6, UTC),
    )
    ours = cost_of(usage, price)
    assert price is not None
    assert price.source == LISTED
    assert ours is not None
    assert abs(Decimal(ours.nano) / 10**9 - theirs.total_price) <= Decimal("5e-10")


def test_a_configured_price_goes_before_the_list() -> None:
    price = book({"input": 1, "output": 1}).price_for("u", "openai", "gpt-4o", NOW)
    assert price is not None
    assert price.source == "config"


def test_every_listed_price_can_be_held_and_kept_in_a_row() -> None:
    from genai_prices.data_snapshot import get_snapshot

    prices, seen = book(), 0
    for provider in get_snapshot().providers:
        if provider.id not in {"anthropic", "openai", "openrouter"}:
            continue
        for model in provider.models:
            price = prices.price_for("u", provider.id, model.id, NOW)
            if price is not None:
                seen += 1
                assert Price.from_json(price.as_json()) == price
    assert seen > 100


def test_thousands_of_invented_models_do_not_fill_the_memory() -> None:
    prices = book()
    prices.warm(["anthropic"])
    for n in range(1500):
        assert prices.price_for("u", "anthropic", f"invented-{n}", NOW) is None
    assert len(prices._models) <= 1024


def test_tiers_are_kept_with_their_rates() -> None:
    tier = {"above": 1000, "input": 3, "output": 4, "cache_read": "0.5"}
    entry = {
        "input": 1,
        "output": 2,
        "tiers": [tier],
        "service_tiers": [{"name": "FLEX", "input": "0.5", "output": 1, "tiers": [tier]}],
    }
    price = book(entry).price_for("u", "sim", "m", NOW)
    unit = 10**9
    long = (Tier(1000, Rates(3 * unit, 4 * unit, unit // 2)),)
    assert price == Price(
        "config",
        "USD",
        unit,
        2 * unit,
        upstream="*",
        model="*",
        tiers=long,
        service_tiers=(ServiceTier("flex", Rates(unit // 2, unit), long),),
    )


def test_a_found_price_says_which_entry_it_is() -> None:
    prices = book({"model": "a", "input": 1}, {"model": "b", "input": 1}, {"model": "b", "input": 2, "valid_from": "2026-02-01"})  # fmt: skip
    entries = [
        None if (found := prices.find("u", kind, model, NOW)) is None else (found.entry,)
        for kind, model in [("sim", "a"), ("sim", "b"), ("openai", "gpt-4o"), ("sim", "c")]
    ]
    assert entries == [(0,), (2,), (None,), None]


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("model", "gpt[45", "a [ is not closed"),
        ("upstream", "a[!b", "a [ is not closed"),
        ("currency", "", "not empty"),
        ("currency", "US$", "2 to 8 letters"),
        ("tiers", [{"above": 0, "input": 1}], "greater than or equal to 1"),
        ("tiers", [{"above": 2, "input": 1}, {"above": 2, "input": 1}], "must rise"),
        ("tiers", [{"above": 2}], "required"),
        ("service_tiers", [{"name": "default", "input": 1}], "is the usual tier"),
        ("service_tiers", [{"name": "a b", "input": 1}], "what the upstream calls it"),
        (
            "service_tiers",
            [{"name": "flex", "input": 1}, {"name": "Flex", "input": 2}],
            "each name once",
        ),
    ],
)
def test_a_mistake_in_a_price_is_named(key: str, value: object, says: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(says)):
        PriceEntry.model_validate({"input": 1, key: value})


@pytest.mark.parametrize("glob", ["*", "gpt-[45]*", "llama[[]q4]", "a[!b]c", "[]]", "a]"])
def test_a_closed_bracket_is_a_glob(glob: str) -> None:
    assert PriceEntry.model_validate({"input": 1, "model": glob}).model == glob


def test_mistakes_in_prices_are_told_with_line_and_column(tmp_path: Path) -> None:
    file = tmp_path / "s.yaml"
    file.write_text(
        "prices:\n"
        "- model: 'gpt-[4'\n"
        "  input: 3 USD\n"
        "  tiers: [{above: 9, input: 1},\n"
        "          {above: 9, input: 1}]\n"
        "  service_tiers:\n"
        "  - {nme: flex, input: 1}\n"
    )
    with pytest.raises(ConfigError) as caught:
        load(LoadOptions(file, environ={}))
    assert [str(problem).removeprefix(f"{file}:") for problem in caught.value.problems] == [
        "2:3: prices[0].currency: is required where a rate or fee is not 0; say currency: USD, or "
        "whatever it is in",
        "2:3: prices[0].model: must be a glob; a [ is not closed",
        "3:3: prices[0].input: must be a decimal number, such as 0.15; this is none",
        "4:3: prices[0].tiers: must rise: each tier is above the one before it",
        "7:5: prices[0].service_tiers[0].name: is required",
        "7:6: prices[0].service_tiers[0].nme: unknown key; must be one of input, output, "
        "cache_read, cache_write, reasoning, name, tiers (did you mean 'name'?)",
    ]


def test_the_entries_of_the_docs_are_legal(tmp_path: Path) -> None:
    page = (Path(__file__).parent.parent.parent / "docs" / "cost.md").read_text()
    file = tmp_path / "streamgauge.yaml"
    file.write_text(page.split("```yaml\n")[1].split("```")[0])
    prices = load(LoadOptions(file, environ={})).config.prices
    assert [price.currency for price in prices] == ["USD", "USD", "sat"]


def test_a_price_that_is_kept_in_mind_ends_where_the_next_begins() -> None:
    begins = 1_800_000_012_345_678
    moment = datetime.fromtimestamp(begins / 1e6, UTC).isoformat()
    book = PriceBook(
        [
            PriceEntry.model_validate({"upstream": "*", "model": "m", "input": "1", "output": "1"}),
            PriceEntry.model_validate(
                {"upstream": "*", "model": "m", "input": "2", "output": "1", "valid_from": moment}
            ),
        ]
    )
    for _ in range(2):
        for at, input_rate in ((begins - 1, 1), (begins, 2), (begins + 1, 2), (begins - 1, 1)):
            price = book.price_for("up", "openai", "m", at)
            assert price is not None
            assert price.input == input_rate * 10**9
