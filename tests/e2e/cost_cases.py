"""Calls, the usage that is stated of them, and what they cost: worked out by hand beside each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import genai_prices

__all__ = ["ANTHROPIC", "CASES", "OPENAI", "Case", "said"]

OPENAI, ANTHROPIC = "/v1/chat/completions", "/v1/messages"
LISTED = f"genai-prices {genai_prices.__version__}"
SONNET = {
    "input": "3",
    "output": "15",
    "cache_read": "0.3",
    "cache_write": "3.75",
    "currency": "USD",
}
LONG = [{"above": 200_000, "input": "6", "output": "22.5", "cache_read": "0.6"}]


@dataclass(frozen=True)
class Case:
    """A call, the usage that its upstream states, and the cost: nano-units, currency, source."""

    name: str
    flavour: str
    usage: Mapping[str, Any] | str
    cost: tuple[int | None, str | None, str | None]
    prices: tuple[Mapping[str, Any], ...] = ()
    kind: str = "sim"
    path: str = OPENAI
    model: str = "m"
    asks: Mapping[str, Any] = field(default_factory=dict)
    sim: Mapping[str, Any] = field(default_factory=dict)


def said(read: int, written: int, **more: Any) -> dict[str, Any]:
    """Return OpenAI's usage; `cached` and `thought` are its parts."""
    usage: dict[str, Any] = {"prompt_tokens": read, "completion_tokens": written}
    if "cached" in more:
        usage["prompt_tokens_details"] = {"cached_tokens": more.pop("cached")}
    if "thought" in more:
        usage["completion_tokens_details"] = {"reasoning_tokens": more.pop("thought")}
    return usage | more


CACHED = {
    "input_tokens": 12,
    "cache_read_input_tokens": 8000,
    "cache_creation_input_tokens": 1500,
    "output_tokens": 400,
}

CASES = [
    # 237 read x 3 + 35 written x 15 = 711 + 525 = 1 236 micro-dollars
    Case("plain", "vllm", said(237, 35), (1_236_000, "USD", "config"), (SONNET,)),
    # Anthropic's input leaves the cache out: 12 x 3 + 8000 x 0.30 + 1500 x 3.75 + 400 x 15
    # = 36 + 2400 + 5625 + 6000 = 14 061 micro-dollars
    Case(
        "Anthropic's cache, read and written",
        "anthropic",
        CACHED,
        (14_061_000, "USD", "config"),
        (SONNET,),
        kind="anthropic",
        path=ANTHROPIC,
    ),
    # the same four products: the installed list has the same four rates for Sonnet 4.5
    Case(
        "Anthropic's cache by the price list",
        "anthropic",
        CACHED,
        (14_061_000, "USD", LISTED),
        kind="anthropic",
        path=ANTHROPIC,
        model="claude-sonnet-4-5",
    ),
    # exactly 200 000 read is not above it: 1 x 3 + 199 999 x 0.30 + 1000 x 15
    # = 3 + 59 999.7 + 15 000 = 75 002.7 micro-dollars
    Case(
        "just below the long context",
        "llamacpp",
        said(200_000, 1000, cached=199_999),
        (75_002_700, "USD", "config"),
        ({**SONNET, "tiers": LONG},),
    ),
    # one token more, and all of them have the tier's rates: 1 x 6 + 200 000 x 0.60 + 1000 x 22.50
    # = 6 + 120 000 + 22 500 = 142 506 micro-dollars
    Case(
        "above the long context",
        "llamacpp",
        said(200_001, 1000, cached=200_000),
        (142_506_000, "USD", "config"),
        ({**SONNET, "tiers": LONG},),
    ),
    # cached ones count towards it at Anthropic, too: 1 + 150 000 + 50 000 = 200 001 read
    # 1 x 6 + 150 000 x 0.60 + 50 000 x 7.50 + 10 x 22.50 = 6 + 90 000 + 375 000 + 225 = 465 231
    Case(
        "the listed long context by cached tokens",
        "anthropic",
        {
            "input_tokens": 1,
            "cache_read_input_tokens": 150_000,
            "cache_creation_input_tokens": 50_000,
            "output_tokens": 10,
        },
        (465_231_000, "USD", LISTED),
        kind="anthropic",
        path=ANTHROPIC,
        model="claude-sonnet-4-5",
    ),
    # stated by the upstream, in dollars: 0.00014 = 140 micro-dollars, whatever the list says
    Case(
        "OpenRouter's own cost",
        "openrouter",
        said(100, 20, cost=0.00014),
        (140_000, "USD", "upstream"),
        kind="openrouter",
        model="anthropic/claude-sonnet-4.5",
    ),
    # 1.23e-7 dollars is 123 nano-dollars, written as floats are
    Case(
        "OpenRouter's own cost with an exponent",
        "openrouter",
        said(100, 20, cost=1.23e-07),
        (123, "USD", "upstream"),
        kind="openrouter",
    ),
    # a configured price goes first: 100 x 1 + 20 x 2 = 140 micro-euros, not the stated 9 dollars
    Case(
        "a configured price before OpenRouter's",
        "openrouter",
        said(100, 20, cost=9),
        (140_000, "EUR", "config"),
        ({"input": 1, "output": 2, "currency": "eur"},),
        kind="openrouter",
    ),
    # nothing for tokens, 21 sats for the request
    Case(
        "sats a request",
        "vllm",
        said(5000, 700),
        (21 * 10**9, "sat", "config"),
        ({"input": 0, "output": 0, "fee": 21, "currency": "sat"},),
    ),
    # of a stream that was cut nobody knows the input, which costs nothing here: still 21 sats
    Case(
        "sats a request, cut",
        "openai",
        "none",
        (21 * 10**9, "sat", "config"),
        ({"input": 0, "output": 0, "fee": 21, "currency": "sat"},),
        sim={"fault": "cut", "after": 3},
    ),
    # 237 x 1000 / 1M + 35 x 2 500 000 / 1M + 5 = 0.237 + 87.5 + 5 = 92.737 millisats
    Case(
        "millisats by token and request",
        "vllm",
        said(237, 35),
        (92_737_000_000, "msat", "config"),
        ({"input": 1000, "output": 2_500_000, "fee": 5, "currency": "msat"},),
    ),
    # 10 x 1 + (30 - 20) x 2 + 20 x 5 = 10 + 20 + 100 = 130 micro-euros
    Case(
        "reasoning at its own rate",
        "openai",
        said(10, 30, thought=20),
        (130_000, "EUR", "config"),
        ({"input": 1, "output": 2, "reasoning": 5, "currency": "EUR"},),
    ),
    # served as flex: 1000 x 0.625 + 100 x 5 = 625 + 500 = 1 125 micro-dollars
    Case(
        "flex",
        "openai",
        said(1000, 100),
        (1_125_000, "USD", "config"),
        (
            {
                "input": "1.25",
                "currency": "USD",
                "output": "10",
                "service_tiers": [{"name": "flex", "input": "0.625", "output": "5"}],
            },
        ),
        asks={"service_tier": "flex"},
    ),
    # asked for as auto and served as usual: 1000 x 1.25 + 100 x 10 = 2 250 micro-dollars
    Case(
        "flex is there but was not used",
        "openai",
        said(1000, 100),
        (2_250_000, "USD", "config"),
        (
            {
                "input": "1.25",
                "currency": "USD",
                "output": "10",
                "service_tiers": [{"name": "flex", "input": "0.625", "output": "5"}],
            },
        ),
        asks={"service_tier": "auto"},
    ),
    # what the answer says counts, not what was asked: 100 x 6 + 10 x 30 = 900 micro-dollars
    Case(
        "Anthropic's priority",
        "anthropic",
        {"input_tokens": 100, "output_tokens": 10, "service_tier": "priority"},
        (900_000, "USD", "config"),
        ({**SONNET, "service_tiers": [{"name": "priority", "input": 6, "output": 30}]},),
        kind="anthropic",
        path=ANTHROPIC,
    ),
    # 1 x 0.0005 / 1M = half a nano-dollar, and halves are rounded up, once
    Case(
        "half a nano-unit",
        "vllm",
        said(1, 0),
        (1, "USD", "config"),
        ({"input": "0.0005", "output": 1, "currency": "USD"},),
    ),
    # 1 x 0.0004 + 1 x 0.0004 = 0.8 nano-dollars: each alone would be rounded away
    Case(
        "rounded once",
        "vllm",
        said(1, 1),
        (1, "USD", "config"),
        ({"input": "0.0004", "output": "0.0004", "currency": "USD"},),
    ),
    Case("no price", "llamacpp", said(10, 10), (None, None, None)),
]
