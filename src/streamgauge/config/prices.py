"""Which price holds for a call: a configured one, else genai-prices'. Knows no usage."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from streamgauge.config.price_entry import PriceEntry
from streamgauge.core.nano import nano_rounded
from streamgauge.core.pricing import Price, Rates, Tier

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, ModelPrice, TieredPrices

__all__ = ["LISTED_KINDS", "Found", "PriceBook", "list_version"]

LISTED_KINDS = frozenset({"anthropic", "openai", "openrouter"})
"""Kinds that are providers of the list, under the same names. The others run on own machines."""
_MINUTE_US = 60_000_000
_MAX_CACHED = 1024
"""Clients choose model names: the cache starts anew when somebody tries out thousands."""


@dataclass(frozen=True, slots=True)
class Found:
    """A price, and which of the `prices` entries it is, counted from 0; None where it is listed."""

    price: Price
    entry: int | None


@dataclass(frozen=True, slots=True)
class _Held:
    """A price that was found, and when it is that: from `since` to before `until`, in µs."""

    price: Price | None
    since: int
    until: int


def list_version() -> str:
    """Return the version of the price list that is installed."""
    from genai_prices import __version__

    return __version__


class PriceBook:
    """Prices by upstream, kind, model and time. A price it has given never changes."""

    def __init__(self, entries: Sequence[PriceEntry]) -> None:
        self._entries = [entry.as_price() for entry in entries]
        self._models: dict[tuple[str, str], ModelInfo | None] = {}
        self._held: dict[tuple[str, str, str | None], _Held] = {}
        starts = (price.valid_from for price in self._entries if price.valid_from is not None)
        self._starts = sorted(starts)

    def warm(self, kinds: Iterable[str]) -> None:
        """Load the list now if one of `kinds` is in it: 0.2 s that no request should wait for."""
        for kind in LISTED_KINDS.intersection(kinds):
            self._model(kind, "")

    def price_for(self, upstream: str, kind: str, model: str | None, at_us: int) -> Price | None:
        """Return the price of `model` at `at_us` (µs since the epoch), or None if unknown."""
        key = (upstream, kind, model)
        held = self._held.get(key)
        if held is not None and held.since <= at_us < held.until:
            return held.price
        found = self.find(upstream, kind, model, at_us)
        price = None if found is None else found.price
        if len(self._held) >= _MAX_CACHED:
            self._held.clear()
        # A list's price may depend on the time of day; nothing changes within a minute of it.
        since = at_us - at_us % _MINUTE_US
        starts = [start for start in self._starts if since < start <= since + _MINUTE_US]
        until = min((start for start in starts if start > at_us), default=since + _MINUTE_US)
        since = max((start for start in starts if start <= at_us), default=since)
        self._held[key] = _Held(price, since, until)
        return price

    def find(self, upstream: str, kind: str, model: str | None, at_us: int) -> Found | None:
        """Return the same price with where it comes from."""
        configured = self._configured(upstream, model, at_us)
        if configured is not None or model is None or kind not in LISTED_KINDS:
            return configured
        listed = self._listed(upstream, kind, model, at_us)
        return None if listed is None else Found(listed, None)

    def _configured(self, upstream: str, model: str | None, at_us: int) -> Found | None:
        """The first entry that fits names the globs; of theirs the latest that holds is used."""
        fitting = [
            Found(price, index)
            for index, price in enumerate(self._entries)
            if fnmatchcase(upstream, str(price.upstream))
            and fnmatchcase(model or "", str(price.model))
            and (price.valid_from is None or price.valid_from <= at_us)
        ]
        globs = {_globs(found.price) for found in fitting[:1]}
        same = [found for found in fitting if _globs(found.price) in globs]
        return max(same, key=lambda found: _age(found.price), default=None)

    def _listed(self, upstream: str, kind: str, model: str, at_us: int) -> Price | None:
        key = (kind, model)
        if key not in self._models:
            if len(self._models) >= _MAX_CACHED:
                self._models.clear()
            self._models[key] = self._model(kind, model)
        info = self._models[key]
        if info is None:
            return None
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at_us)
        return _as_price(info.get_prices(moment), upstream, info.id)

    def _model(self, kind: str, model: str) -> ModelInfo | None:
        from genai_prices.data_snapshot import find_provider_by_id, get_snapshot

        providers = get_snapshot().providers
        provider = find_provider_by_id(providers, kind)
        if provider is None or not model:
            return None
        return provider.find_model(model, all_providers=providers)


def _globs(price: Price) -> tuple[str | None, str | None]:
    return price.upstream, price.model


def _age(price: Price) -> tuple[bool, int]:
    return (price.valid_from is not None, price.valid_from or 0)


def _as_price(listed: ModelPrice, upstream: str, model: str) -> Price | None:
    """Return the list's rates in ours; None for models that are not charged by input tokens."""
    rates = _rates(listed, 0)
    if rates is None:
        return None
    tiers = ((start, _rates(listed, start + 1)) for start in _starts(listed))
    return Price(
        source=f"genai-prices {list_version()}",
        currency="USD",
        input=rates.input,
        output=rates.output,
        cache_read=rates.cache_read,
        cache_write=rates.cache_write,
        reasoning=rates.reasoning,
        fee=_nano(listed.requests_kcount, 0, Decimal("0.001")) or 0,
        upstream=upstream,
        model=model,
        tiers=tuple(Tier(start, tier) for start, tier in tiers if tier is not None),
    )


def _starts(listed: ModelPrice) -> list[int]:
    rates = (listed.input_mtok, listed.output_mtok, listed.cache_read_mtok,
             listed.cache_write_mtok, listed.output_reasoning_mtok)  # fmt: skip
    return sorted({tier.start for rate in rates for tier in getattr(rate, "tiers", ())})


def _rates(listed: ModelPrice, input_tokens: int) -> Rates | None:
    """Return the rates of a call that read `input_tokens`; a tier holds above its start."""
    base = _nano(listed.input_mtok, input_tokens)
    if base is None:
        return None
    return Rates(
        base,
        _nano(listed.output_mtok, input_tokens),
        _nano(listed.cache_read_mtok, input_tokens),
        _nano(listed.cache_write_mtok, input_tokens),
        _nano(listed.output_reasoning_mtok, input_tokens),
    )


def _nano(
    rate: Decimal | TieredPrices | None, input_tokens: int, unit: Decimal = Decimal(1)
) -> int | None:
    """Return a listed rate in nano-units. Some are quotients of 18 decimals: those are rounded."""
    if rate is None:
        return None
    if isinstance(rate, Decimal):
        return nano_rounded(rate * unit)
    applying = [tier.price for tier in rate.tiers if input_tokens > tier.start]
    return nano_rounded((applying[-1] if applying else rate.base) * unit)
