"""The `prices` section: one price each. Knows no price list and no usage (SPEC §7.2)."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field

from streamgauge.config.fields import Instant, NanoAmount, Section, Text, refuse
from streamgauge.core.pricing import CONFIG_SOURCE, Price

__all__ = ["PriceEntry"]

_CURRENCY = re.compile(r"[A-Za-z]{2,8}")
_ISO_LENGTH = 3
_SMALL_COINS = {"sat", "msat"}


def _currency(name: str) -> str:
    if not _CURRENCY.fullmatch(name):
        raise refuse("must be 2 to 8 letters, such as USD, EUR, sat or msat")
    if name.lower() in _SMALL_COINS:
        return name.lower()
    return name.upper() if len(name) == _ISO_LENGTH else name


class PriceEntry(Section):
    """What the matching models cost. Rates are for a million tokens, kept exact to 9 decimals."""

    upstream: Text = Field(default="*", description="Glob of the upstream's name.")
    model: Text = Field(
        default="*", description="Glob of the model that was asked of the upstream."
    )
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
    fee: NanoAmount = Field(default=0, description="Charged for every request.")
    currency: Annotated[Text, AfterValidator(_currency)] = Field(
        default="USD", description="USD, EUR, sat, msat, …; unlike currencies are never added up."
    )
    valid_from: Instant = Field(
        default=None, description="From when it holds; left out: ever since."
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
        )
