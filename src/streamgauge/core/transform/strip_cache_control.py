"""Takes cache marks out of a request, for upstreams that refuse them. It knows no conversation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from streamgauge.core.transform.body import REMOVED, Changes, Form, Members

__all__ = ["StripCacheControl"]

_KEY = "cache_control"
_PLACES = ("system", "messages", "tools")
_INSIDE = ("content", "function", "source")
"""Where blocks stand in blocks. A tool's schema and a call's input are the client's own data."""


@dataclass(frozen=True, slots=True)
class StripCacheControl:
    """`cache_control` goes: on the request, on system blocks, messages, their parts and tools."""

    def change(self, body: Members, form: Form) -> Changes:
        """Return the members that had one."""
        changes: Changes = {_KEY: REMOVED} if _KEY in body else {}
        for place in _PLACES:
            before = body.get(place)
            after = _without(before)
            if after is not before:
                changes[place] = after
        return changes


def _without(value: Any) -> Any:
    """Return `value` itself where there is no mark in it."""
    if isinstance(value, list):
        items = [_without(item) for item in value]
        same = all(new is old for new, old in zip(items, value, strict=True))
        return value if same else items
    if not isinstance(value, dict):
        return value
    inside = {key: _without(value[key]) for key in _INSIDE if key in value}
    if _KEY not in value and all(inside[key] is value[key] for key in inside):
        return value
    return {key: inside.get(key, item) for key, item in value.items() if key != _KEY}
