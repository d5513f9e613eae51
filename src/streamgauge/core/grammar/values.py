"""Reads a frame's JSON and the fields in it, noting what is wrong. It knows no protocol."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from streamgauge.core.grammar.finding import Rule, Sheet, error, oddity

__all__ = ["VALUE_RULES", "is_count", "is_text", "named", "read_object", "shown", "text_or_none"]

VALUE_RULES: Mapping[str, Rule] = {
    "bad_utf8": error("data is UTF-8"),
    "bad_json": error("data is JSON (RFC 8259), each key once in its object"),
    "not_an_object": error("data is a JSON object"),
    "lone_surrogate": oddity("text has no half of a surrogate pair"),
}
_SHOWN = 60


class _NotJson(ValueError):
    """Something that Python's reader takes and RFC 8259 does not."""


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise _NotJson("a key stands twice in one object")
    return members


def _constant(name: str) -> Any:
    raise _NotJson(f"{name} is not JSON")


_READER = json.JSONDecoder(object_pairs_hook=_members, parse_constant=_constant)


def read_object(payload: bytes, sheet: Sheet) -> dict[str, Any] | None:
    """Return the JSON object in `payload`, or None once what is wrong with it is noted."""
    try:
        text = payload.decode()
        value = _READER.decode(text)
    except UnicodeDecodeError as failure:
        sheet.note("bad_utf8", f"byte {failure.start} of the data is not UTF-8")
        return None
    except (ValueError, RecursionError) as failure:
        sheet.note("bad_json", f"{failure}: {shown(text)}")
        return None
    if type(value) is not dict:
        sheet.note("not_an_object", f"the data is {named(value)}")
        return None
    if "\\u" in text and _has_lone_surrogate(text):
        sheet.note("lone_surrogate", "an escape is half of a surrogate pair")
    return value


def _has_lone_surrogate(text: str) -> bool:
    try:
        # What was read is written again: a pair becomes one character, a half stays a half.
        json.dumps(json.loads(text), ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return True
    return False


def shown(text: object) -> str:
    """Return the beginning of a value, quoted, for a message."""
    quoted = repr(text)
    return quoted if len(quoted) <= _SHOWN else f"{quoted[:_SHOWN]}…"


def named(value: object) -> str:
    """Return what kind of JSON value this is, with its article."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    kinds: tuple[tuple[type | tuple[type, ...], str], ...] = (
        (str, "a string"),
        ((int, float), "a number"),
        (list, "an array"),
    )
    return next((name for kind, name in kinds if isinstance(value, kind)), "an object")


def is_text(value: object) -> bool:
    """Whether this is a string that is not empty."""
    return isinstance(value, str) and value != ""


def text_or_none(value: object) -> bool:
    """Whether this is a string or null."""
    return value is None or isinstance(value, str)


def is_count(value: object) -> bool:
    """Whether this is an integer from 0 on."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
