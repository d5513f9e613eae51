"""Sums and times of the ledger as JSON. It adds nothing up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from streamgauge.core.nano import nano_text
from streamgauge.ledger.questions import Speeds
from streamgauge.ledger.rollup_sums import Cost, TimesSum, Tokens, UsageSum

__all__ = ["COUNTS", "quantiles", "speed_quantiles", "sum_of", "times_of"]

COUNTS = ("input", "output", "cache_read", "cache_write", "reasoning")
_QUANTILES = (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))

Page = dict[str, Any]


def sum_of(found: UsageSum) -> Page:
    """Return the numbers of one group, without the group."""
    return {
        "exchanges": found.exchanges,
        "successes": found.successes,
        "failures": found.failures,
        **{name: _tokens(getattr(found, name)) for name in COUNTS},
        "costs": {currency: _cost(cost) for currency, cost in found.costs.items()},
        "unpriced": found.unpriced,
    }


def times_of(found: TimesSum) -> Page:
    """Return mean, quantiles and histogram of one group, without the group."""
    return {
        "exchanges": found.exchanges,
        "mean_ms": round(found.mean_ms, 3),
        **_quantiles(found),
        "counts": list(found.counts),
    }


def quantiles(found: TimesSum | None) -> Page | None:
    """Return how many there were and their quantiles, None without any."""
    return None if found is None else {"exchanges": found.exchanges, **_quantiles(found)}


def speed_quantiles(found: Speeds | None) -> Mapping[str, Page | None]:
    """Return the quantiles of both speeds, each None without any."""
    return {
        "generation_tps": None if found is None else _of_sorted(found.generation_tps),
        "prompt_tps": None if found is None else _of_sorted(found.prompt_tps),
    }


def _of_sorted(values: Sequence[float]) -> Page | None:
    if not values:
        return None
    last = len(values) - 1
    return {"sample": len(values)} | {name: values[round(q * last)] for name, q in _QUANTILES}


def _quantiles(found: TimesSum) -> Page:
    return {f"{name}_ms": round(found.quantile_ms(q), 3) for name, q in _QUANTILES}


def _tokens(found: Tokens) -> Page:
    return {"exact": found.exact, "estimated": found.estimated, "unknown": found.unknown}


def _cost(found: Cost) -> Page:
    return {
        "exact": _amount(found.exact),
        "exact_nano": found.exact,
        "estimated": _amount(found.estimated),
        "estimated_nano": found.estimated,
        "exchanges": found.exchanges,
    }


def _amount(nano: int | None) -> str | None:
    return None if nano is None else nano_text(nano)
