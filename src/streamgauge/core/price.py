"""What a price is: rates for a million tokens, tiers and a fee. Knows no usage (SPEC §7.2)."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import Any, Self

import msgspec

from streamgauge.core.nano import nano_from_decimal, nano_text

__all__ = ["CONFIG_SOURCE", "Money", "Price", "Rates", "ServiceTier", "Tier"]

CONFIG_SOURCE = "config"
_ORIGIN = ("upstream", "model", "valid_from", "service_tier")
"""Members of a price that its JSON leaves out where they are unknown."""


@dataclass(frozen=True, slots=True)
class Money:
    """An amount in whole nano-units (1e-9) of `currency`. Unlike currencies are never added."""

    nano: int
    currency: str

    def __str__(self) -> str:
        return f"{nano_text(self.nano)} {self.currency}"


class Rates(msgspec.Struct, frozen=True, gc=False):
    """Nano-units for a million tokens. A part without its own rate is charged as its whole.

    `output` None: output is not priced at all (embedding models).
    """

    input: int
    output: int | None
    cache_read: int | None = None
    cache_write: int | None = None
    reasoning: int | None = None

    @property
    def are_free(self) -> bool:
        """True when no count of tokens costs anything at these rates."""
        return not any(msgspec.structs.astuple(self))

    @property
    def input_is_free(self) -> bool:
        """True when what is read costs nothing, cached or not."""
        return not (self.input or self.cache_read or self.cache_write)

    @property
    def output_is_free(self) -> bool:
        """True when output is priced, and at nothing."""
        return self.output == 0 and not self.reasoning


@dataclass(frozen=True, slots=True)
class Tier:
    """Rates that hold for *all* tokens of a call whose input is more than `above` tokens."""

    above: int
    rates: Rates


@dataclass(frozen=True, slots=True)
class ServiceTier:
    """Rates of answers that the upstream says it served as `name`: flex, priority, batch."""

    name: str
    rates: Rates
    tiers: tuple[Tier, ...] = ()


@dataclass(frozen=True, slots=True)
class Price:
    """What one model costs at one upstream, as it stands in a row.

    Rates in nano-units for a million tokens, `fee` in nano-units a request, `valid_from` in µs
    since the epoch. `source`: `config` or `genai-prices <version>`. `tiers` rise by `above`.
    `service_tiers`: other rates for answers served otherwise; `service_tier`: the one chosen.
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
    service_tiers: tuple[ServiceTier, ...] = ()
    service_tier: str | None = None
    _json: str | None = field(default=None, init=False, repr=False, compare=False)

    @property
    def rates(self) -> Rates:
        """The rates below the first tier."""
        return Rates(self.input, self.output, self.cache_read, self.cache_write, self.reasoning)

    @property
    def is_free(self) -> bool:
        """True when no count of tokens could ever cost anything, however it is served."""
        every = [self.rates, *(tier.rates for tier in self.tiers)]
        for service in self.service_tiers:
            every += [service.rates, *(tier.rates for tier in service.tiers)]
        return not self.fee and all(rates.are_free for rates in every)

    def rates_for(self, input_tokens: int) -> Rates:
        """Return the rates of a call that read `input_tokens`, cached ones included."""
        chosen = self.rates
        for tier in self.tiers:
            if input_tokens > tier.above:
                chosen = tier.rates
        return chosen

    def served_as(self, service_tier: str | None) -> Price:
        """Return the price of an answer of this service tier: the one that its row keeps.

        A tier that the price does not name has the price's own rates.
        """
        if not self.service_tiers:
            return self
        named = None if service_tier is None else service_tier.lower()
        for tier in self.service_tiers:
            if tier.name == named:
                rates = msgspec.structs.asdict(tier.rates)
                return replace(
                    self, **rates, tiers=tier.tiers, service_tiers=(), service_tier=tier.name
                )
        return replace(self, service_tiers=())

    def for_input(self) -> Price:
        """Return the price of a call that writes nothing, an embedding: that of what it reads."""
        tiers = tuple([Tier(tier.above, _read_only(tier.rates)) for tier in self.tiers])
        return replace(self, output=None, reasoning=None, tiers=tiers)

    def as_plain(self) -> dict[str, Any]:
        """Return the row's `price` object: rates and fee as decimal text for a million tokens."""
        plain: dict[str, Any] = {"source": self.source, "currency": self.currency}
        plain |= _rates_as_text(self.rates)
        plain["fee"] = nano_text(self.fee)
        plain |= {name: value for name in _ORIGIN if (value := getattr(self, name)) is not None}
        plain |= _tiers_as_plain(self.tiers)
        if self.service_tiers:
            plain["service_tiers"] = [
                {"name": tier.name, **_rates_as_text(tier.rates), **_tiers_as_plain(tier.tiers)}
                for tier in self.service_tiers
            ]
        return plain

    def as_json(self) -> str:
        """Return the row's `price` column: written once, for it is in every row of its model."""
        text = self._json
        if text is None:
            text = json.dumps(self.as_plain(), ensure_ascii=False, separators=(",", ":"))
            object.__setattr__(self, "_json", text)
        return text

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
            tiers=_tiers_from_plain(plain),
            service_tiers=tuple(
                ServiceTier(tier["name"], _rates_from_text(tier), _tiers_from_plain(tier))
                for tier in plain.get("service_tiers", ())
            ),
            **{name: plain.get(name) for name in _ORIGIN},
        )


def _read_only(rates: Rates) -> Rates:
    return msgspec.structs.replace(rates, output=None, reasoning=None)


def _tiers_as_plain(tiers: tuple[Tier, ...]) -> dict[str, Any]:
    if not tiers:
        return {}
    return {"tiers": [{"above": tier.above, **_rates_as_text(tier.rates)} for tier in tiers]}


def _tiers_from_plain(plain: dict[str, Any]) -> tuple[Tier, ...]:
    return tuple(Tier(tier["above"], _rates_from_text(tier)) for tier in plain.get("tiers", ()))


def _rates_as_text(rates: Rates) -> dict[str, str]:
    stated = msgspec.structs.asdict(rates).items()
    return {name: nano_text(rate) for name, rate in stated if rate is not None}


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
