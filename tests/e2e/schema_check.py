"""Checks a value against the part of JSON schema that the admin API's document uses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["problems"]

_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "object": (dict,),
    "array": (list,),
    "null": (type(None),),
}
_KNOWN = {
    "$ref", "type", "properties", "required", "items", "enum", "anyOf", "allOf", "additionalProperties",
    "minimum", "maximum", "maxLength", "examples",
}  # fmt: skip


def problems(
    value: Any, schema: Mapping[str, Any], whole: Mapping[str, Any], at: str = ""
) -> list[str]:
    """Return what is wrong with `value`, and fields of an object that the schema does not have."""
    assert schema.keys() <= _KNOWN, f"{at}: {schema.keys() - _KNOWN} is not understood here"
    if (ref := schema.get("$ref")) is not None:
        found = whole
        for step in ref.removeprefix("#/").split("/"):
            found = found[step]
        return problems(value, found, whole, at)
    if choices := schema.get("anyOf"):
        tried = [problems(value, each, whole, at) for each in choices]
        return [] if [] in tried else [f"{at}: none of {len(tried)} fits: {tried}"]
    if parts := schema.get("allOf"):
        return _of_all(value, parts, whole, at)
    if "enum" in schema and value not in schema["enum"]:
        return [f"{at}: {value!r} is not of {schema['enum']}"]
    wrong = _of_type(value, schema, at)
    if not wrong and isinstance(value, dict) and "properties" in schema:
        wrong += _of_object(value, schema, whole, at)
    if (
        not wrong
        and isinstance(value, dict)
        and isinstance(schema.get("additionalProperties"), dict)
    ):
        for name, each in value.items():
            wrong += problems(each, schema["additionalProperties"], whole, f"{at}.{name}")
    if not wrong and isinstance(value, list) and "items" in schema:
        for place, each in enumerate(value):
            wrong += problems(each, schema["items"], whole, f"{at}[{place}]")
    return wrong


def _of_all(value: Any, parts: list[Any], whole: Mapping[str, Any], at: str) -> list[str]:
    names = [set(_resolved(part, whole).get("properties", {})) for part in parts]
    wrong = []
    for part, own in zip(parts, names, strict=True):
        others = set().union(*names) - own
        wrong += problems({k: v for k, v in value.items() if k not in others}, part, whole, at)
    return wrong


def _resolved(schema: Mapping[str, Any], whole: Mapping[str, Any]) -> Mapping[str, Any]:
    ref = schema.get("$ref")
    return schema if ref is None else whole["components"]["schemas"][ref.rpartition("/")[2]]


def _of_type(value: Any, schema: Mapping[str, Any], at: str) -> list[str]:
    told = schema.get("type")
    if told is None:
        return []
    names = [told] if isinstance(told, str) else told
    fits = [
        isinstance(value, _TYPES[name]) and (name == "boolean" or not isinstance(value, bool))
        for name in names
    ]
    return [] if any(fits) else [f"{at}: {value!r} is no {names}"]


def _of_object(
    value: dict[str, Any], schema: Mapping[str, Any], whole: Mapping[str, Any], at: str
) -> list[str]:
    fields = schema["properties"]
    wrong = [f"{at}.{name}: missing" for name in schema.get("required", ()) if name not in value]
    wrong += [f"{at}.{name}: not described" for name in value if name not in fields]
    for name in value.keys() & fields.keys():
        wrong += problems(value[name], fields[name], whole, f"{at}.{name}")
    return wrong
