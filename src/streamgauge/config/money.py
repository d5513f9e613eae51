"""Reads an amount with its currency, as people write limits: `5 USD`. Knows no price."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from pydantic_core import PydanticCustomError

from streamgauge.config.price_entry import currency_name
from streamgauge.core.nano import MAX_NANO, nano_from_decimal
from streamgauge.core.pricing import Money

__all__ = ["LISTED_CURRENCY", "read_money", "unpriced_limits"]

LISTED_CURRENCY = "USD"
"""What the price list is in, and what upstreams state."""


def read_money(text: str) -> Money:
    """Return the amount in nano-units. Raises ValueError for what is none, or not above 0."""
    amount, currency = text.split()
    nano = nano_from_decimal(amount)
    if not 1 <= nano <= MAX_NANO:
        raise ValueError(text)
    try:
        return Money(nano, currency_name(currency))
    except PydanticCustomError as error:
        raise ValueError(text) from error


def unpriced_limits(limits: Iterable[Money | None], known: Collection[str]) -> list[str]:
    """Return a line for each currency of `limits` that no call here can cost: none would pass.

    `known`: the currencies of all prices.
    """
    wanted = {limit.currency for limit in limits if limit is not None}
    return [
        f"no price here is in {currency}, only in {', '.join(sorted(known))}: a call in another "
        "currency than its key's limit is refused"
        for currency in sorted(wanted.difference(known))
    ]
