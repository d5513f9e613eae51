"""Rules between the parts of a price, which no single one can tell. Looks at plain values, valid or not."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from typing import Any

from pydantic import JsonValue

from streamgauge.config.document import Document
from streamgauge.config.positions import Path

__all__ = ["currency_rule", "price_problems"]

_AMOUNTS = ("input", "output", "cache_read", "cache_write", "reasoning", "fee")
_NOT_ZERO: dict[str, JsonValue] = {
    "anyOf": [
        {"type": "number", "not": {"const": 0}},
        {"type": "string", "pattern": r"^\s*\+?[0-9.]*[1-9]"},
    ]
}
"""An amount that charges; what a variable will hold, nobody knows before it is read."""


def price_problems(document: Document) -> Iterator[tuple[Path, str]]:
    """Tell of entries that charge something and do not say in what (SPEC §7.2)."""
    for index, entry in enumerate(_mappings(document.root.get("prices"))):
        if entry is not None and entry.get("currency") is None and _charges(entry):
            yield (
                ("prices", index, "currency"),
                "is required where a rate or fee is not 0; say currency: USD, or whatever it is in",
            )


def currency_rule() -> dict[str, JsonValue]:
    """Return what `price_problems` says of an entry in the words of a JSON schema, for editors."""
    tier = _any_amount({})
    service_tier = _any_amount({"tiers": tier})
    return {
        "if": _any_amount({"tiers": tier, "service_tiers": service_tier}),
        "then": {"required": ["currency"], "properties": {"currency": {"type": "string"}}},
    }


def _any_amount(inner: dict[str, JsonValue]) -> JsonValue:
    """Return a schema for what charges itself, or in one of the lists in it."""
    found: dict[str, JsonValue] = dict.fromkeys(_AMOUNTS, _NOT_ZERO)
    found |= {name: {"type": "array", "contains": item} for name, item in inner.items()}
    return {
        "anyOf": [{"required": [name], "properties": {name: part}} for name, part in found.items()]
    }


def _charges(entry: dict[str, Any]) -> bool:
    """Return whether any amount of an entry, its tiers and its service tiers is not 0."""
    if any(_is_some(entry.get(name)) for name in _AMOUNTS):
        return True
    inner = (*_mappings(entry.get("tiers")), *_mappings(entry.get("service_tiers")))
    return any(_charges(each) for each in inner if each is not None)


def _is_some(value: Any) -> bool:
    """Return whether `value` is an amount, and not 0; what is no amount is told of elsewhere."""
    if isinstance(value, bool):
        return False
    try:
        return isinstance(value, int | Decimal | str) and Decimal(value) != 0
    except InvalidOperation:
        return False


def _mappings(items: Any) -> list[dict[str, Any] | None]:
    """Return the items of a list, with None where one is no mapping: an index stays what it is."""
    if not isinstance(items, list):
        return []
    return [item if isinstance(item, dict) else None for item in items]
