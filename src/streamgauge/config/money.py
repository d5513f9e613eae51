"""Reads an amount with its currency, as people write limits: `5 USD`. Knows no price."""

from __future__ import annotations

from pydantic_core import PydanticCustomError

from streamgauge.config.price_entry import currency_name
from streamgauge.core.nano import nano_from_decimal
from streamgauge.core.pricing import Money

__all__ = ["read_money"]

_MAX_NANO = 2**63 - 1
"""What a column of the ledger can hold."""


def read_money(text: str) -> Money:
    """Return the amount in nano-units. Raises ValueError for what is none, or not above 0."""
    amount, currency = text.split()
    nano = nano_from_decimal(amount)
    if not 1 <= nano <= _MAX_NANO:
        raise ValueError(text)
    try:
        return Money(nano, currency_name(currency))
    except PydanticCustomError as error:
        raise ValueError(text) from error
