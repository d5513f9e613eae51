"""The small answers of the data listener: health, readiness, models, token counts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from streamgauge.core.dialects.anthropic.read_request import read_conversation
from streamgauge.core.estimate import estimate_tokens

__all__ = ["count_estimate", "encoded", "model_entry", "models_page"]


def models_page(ids: Iterable[str], *, anthropic: bool) -> dict[str, Any]:
    """Return the list in OpenAI's shape, or in Anthropic's for its callers (WIRE §4.7)."""
    names = sorted(set(ids))
    if not anthropic:
        return {"object": "list", "data": [model_entry(name, anthropic=False) for name in names]}
    return {
        "data": [model_entry(name, anthropic=True) for name in names],
        "has_more": False,
        "first_id": names[0] if names else None,
        "last_id": names[-1] if names else None,
    }


def model_entry(name: str, *, anthropic: bool) -> dict[str, Any]:
    """Return one model. When it was made is not known: the epoch stands for that in both shapes."""
    if anthropic:
        created = "1970-01-01T00:00:00Z"
        return {"type": "model", "id": name, "display_name": name, "created_at": created}
    return {"id": name, "object": "model", "created": 0, "owned_by": "streamgauge"}


def count_estimate(fields: Mapping[str, Any]) -> dict[str, int]:
    """Return an estimate of an Anthropic request's input tokens (SPEC §13.5).

    For upstreams that cannot count. Raises RequestError where the request is illegal.
    """
    return {"input_tokens": estimate_tokens(read_conversation(fields, counting=True))}


def encoded(page: Any) -> bytes:
    """Return `page` as JSON."""
    return msgspec.json.encode(page)
