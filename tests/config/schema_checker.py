"""Checks a value by the part of JSON Schema (draft 2020-12) that our schema uses. Knows no settings."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

__all__ = ["KEYWORDS", "accepts"]

KEYWORDS = {
    "$schema", "title", "description", "default", "type", "enum", "const", "anyOf", "pattern", "properties",
    "required", "additionalProperties", "items", "maxItems", "minimum", "maximum",
    "exclusiveMinimum", "if", "then", "not", "contains",
}  # fmt: skip
"""All that may occur: `accepts` would overlook another."""


def accepts(node: dict[str, Any], value: Any) -> bool:
    """Return whether `value` is valid. Numbers may be Decimal, as our readers give them."""
    assert set(node) <= KEYWORDS, set(node) - KEYWORDS
    types = node.get("type", [])
    if types and not any(
        _is(value, name) for name in ([types] if isinstance(types, str) else types)
    ):
        return False
    if "anyOf" in node and not any(accepts(choice, value) for choice in node["anyOf"]):
        return False
    if "not" in node and accepts(node["not"], value):
        return False
    if "if" in node and accepts(node["if"], value) and not accepts(node["then"], value):
        return False
    if "enum" in node and not any(_same(value, allowed) for allowed in node["enum"]):
        return False
    if "const" in node and not _same(value, node["const"]):
        return False
    match value:
        case bool():
            return True
        case int() | Decimal():
            return _within(node, value)
        case str():
            return re.search(node.get("pattern", ""), value) is not None
        case list():
            return _array(node, value)
        case dict():
            return _object(node, value)
    return True


def _is(value: Any, name: str) -> bool:
    if isinstance(value, bool):
        return name == "boolean"
    kinds: dict[str, Any] = {
        "object": dict,
        "array": list,
        "string": str,
        "null": type(None),
        "integer": int,
        "number": (int, Decimal),
    }
    return name in kinds and isinstance(value, kinds[name])


def _same(value: Any, allowed: Any) -> bool:
    return isinstance(value, bool) == isinstance(allowed, bool) and value == allowed


def _within(node: dict[str, Any], value: int | Decimal) -> bool:
    return (
        node.get("minimum", value) <= value <= node.get("maximum", value)
        and node.get("exclusiveMinimum", value - 1) < value
    )


def _array(node: dict[str, Any], value: list[Any]) -> bool:
    if "contains" in node and not any(accepts(node["contains"], item) for item in value):
        return False
    items = node.get("items", {})
    return len(value) <= node.get("maxItems", len(value)) and all(accepts(items, v) for v in value)


def _object(node: dict[str, Any], value: dict[str, Any]) -> bool:
    known, others = node.get("properties", {}), node.get("additionalProperties", True)
    if not set(node.get("required", [])) <= set(value):
        return False
    return all(
        accepts(known[key], item)
        if key in known
        else others is True or (others is not False and accepts(others, item))
        for key, item in value.items()
    )
