"""The `prices` section: one price each. Knows no price list and no usage (SPEC §7.2)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from types import MappingProxyType
from typing import Annotated

from pydantic import AfterValidator, ConfigDict, Field
from pydantic.config import JsonDict

from streamgauge.config.fields import Count, Instant, NanoAmount, Section, Text, refuse
from streamgauge.config.globs import Glob
from streamgauge.config.price_checks import currency_rule
from streamgauge.core.pricing import CONFIG_SOURCE, Price, Rates, ServiceTier, Tier

__all__ = ["PriceEntry", "PriceTier", "ServiceTierEntry", "currency_name"]

_CURRENCY = re.compile(r"[A-Za-z]{2,8}")
_ISO_LENGTH = 3
_SMALL_COINS = {"sat", "msat"}
_SAID = MappingProxyType(
    {
        **dict.fromkeys(("euro", "euros"), "EUR"),
        **dict.fromkeys(("dollar", "dollars"), "USD"),
        **dict.fromkeys(("pound", "pounds"), "GBP"),
        **dict.fromkeys(("sats", "satoshi"), "sat"),
        "msats": "msat",
    }
)
"""What people say for a currency: under two names it would be two, which are never added up."""
_SERVICE_TIER = re.compile(r"[a-z0-9][a-z0-9_.-]{0,31}")
_BASE_TIERS = {"auto", "default", "standard"}
"""What upstreams call the tier whose rates stand in the entry itself."""


def currency_name(name: str) -> str:
    """Return `name` as amounts carry it: `usd` and `dollars` are USD. Raises pydantic's error."""
    if not _CURRENCY.fullmatch(name):
        raise refuse("must be 2 to 8 letters, such as USD, EUR, sat or msat")
    if name.lower() in _SMALL_COINS:
        return name.lower()
    if name.lower() in _SAID:
        return _SAID[name.lower()]
    return name.upper() if len(name) == _ISO_LENGTH else name


def _no_default(node: JsonDict) -> None:
    """An editor must not promise a currency that only a price of nothing has."""
    node.pop("default", None)


def _service_tier(name: str) -> str:
    name = name.lower()
    if not _SERVICE_TIER.fullmatch(name):
        raise refuse("must be what the upstream calls it, such as flex, priority or batch")
    if name in _BASE_TIERS:
        raise refuse("is the usual tier; its rates stand in the entry itself")
    return name


class _Aimed(Section):
    """Which calls a price is for."""

    upstream: Glob = Field(default="*", description="Glob of the upstream's name.")
    model: Glob = Field(
        default="*", description="Glob of the model that was asked of the upstream."
    )


class _Rated(Section):
    """Rates of one kind of call; a part without one is charged as its whole."""

    input: NanoAmount = Field(description="Rate of tokens read, cached ones excepted.")
    output: NanoAmount | None = Field(
        default=None,
        description="Rate of tokens written; leave out where there are none (embeddings).",
    )
    cache_read: NanoAmount | None = Field(
        default=None, description="Rate of tokens read from a cache; the input's when left out."
    )
    cache_write: NanoAmount | None = Field(
        default=None, description="Rate of tokens written to a cache; the input's when left out."
    )
    reasoning: NanoAmount | None = Field(
        default=None, description="Rate of reasoning tokens; the output's when left out."
    )

    def rates(self) -> Rates:
        """Return the rates, in nano-units for a million tokens."""
        return Rates(self.input, self.output, self.cache_read, self.cache_write, self.reasoning)


class PriceTier(_Rated):
    """Rates of long calls: they hold for all tokens of a call that reads more than `above`."""

    above: Annotated[Count, Field(ge=1, le=10**12)] = Field(
        description="The tier holds when more tokens than this are read, cached ones included."
    )

    def as_tier(self) -> Tier:
        """Return the tier as prices hold it."""
        return Tier(self.above, self.rates())


def _rising(tiers: tuple[PriceTier, ...]) -> tuple[PriceTier, ...]:
    if any(first.above >= then.above for first, then in pairwise(tiers)):
        raise refuse("must rise: each tier is above the one before it")
    return tiers


Tiers = Annotated[tuple[PriceTier, ...], AfterValidator(_rising)]


class ServiceTierEntry(_Rated):
    """Rates of answers that the upstream served as `name`, whatever was asked for."""

    name: Annotated[Text, AfterValidator(_service_tier)] = Field(
        description="flex, priority, batch, …: as the answer names it."
    )
    tiers: Tiers = Field(default=(), description="Rates of long calls of this service tier.")

    def as_service_tier(self) -> ServiceTier:
        """Return the service tier as prices hold it."""
        return ServiceTier(self.name, self.rates(), _tiers(self.tiers))


def _told_apart(tiers: tuple[ServiceTierEntry, ...]) -> tuple[ServiceTierEntry, ...]:
    if len({tier.name for tier in tiers}) < len(tiers):
        raise refuse("must have each name once")
    return tiers


class PriceEntry(_Rated, _Aimed):
    """What the matching models cost. Rates are for a million tokens, kept exact to 9 decimals."""

    model_config = ConfigDict(json_schema_extra=currency_rule())

    fee: NanoAmount = Field(default=0, description="Charged for every request.")
    currency: Annotated[Text, AfterValidator(currency_name)] = Field(
        default="USD",
        description="USD, EUR, sat, msat, …; unlike currencies are never added up. Required unless "
        "every rate and fee is 0.",
        json_schema_extra=_no_default,
    )
    valid_from: Instant = Field(
        default=None, description="From when it holds; left out: ever since."
    )
    tiers: Tiers = Field(default=(), description="Rates of long calls, rising by `above`.")
    service_tiers: Annotated[tuple[ServiceTierEntry, ...], AfterValidator(_told_apart)] = Field(
        default=(), description="Rates of answers that were served as another service tier."
    )

    def as_price(self) -> Price:
        """Return the price as rows keep it, with this entry's globs as its origin."""
        return Price(
            source=CONFIG_SOURCE,
            currency=self.currency,
            input=self.input,
            output=self.output,
            cache_read=self.cache_read,
            cache_write=self.cache_write,
            reasoning=self.reasoning,
            fee=self.fee,
            upstream=self.upstream,
            model=self.model,
            valid_from=self.valid_from,
            tiers=_tiers(self.tiers),
            service_tiers=tuple(tier.as_service_tier() for tier in self.service_tiers),
        )


def _tiers(entries: Sequence[PriceTier]) -> tuple[Tier, ...]:
    return tuple(entry.as_tier() for entry in entries)
