"""Reads and writes `reasoning_details`, OpenRouter's list of thoughts with their signatures."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from streamgauge.core.conversation import maker_of, sealed_by
from streamgauge.core.dialects.loose import LooseObject, load
from streamgauge.core.events import Event, ReasoningDelta, ThoughtRedacted, ThoughtSigned

__all__ = ["detail_events", "redacted_detail", "text_detail"]

_FORMAT = "anthropic-claude-v1"
"""What OpenRouter calls signatures and redacted data of Anthropic's making. Others say their own."""


def detail_events(raw: msgspec.Raw, stated: str, choice: int) -> list[Event] | None:
    """Return what the details say, in their order; None where they say nothing.

    `stated`: the reasoning that the frame also has as a string. Texts in the details repeat it;
    where they do not, it stands, and the details only sign it.
    """
    loaded = load(bytes(raw))
    details = LooseObject({"all": None if loaded is None else loaded.value}).objects("all")
    parts = [part for detail in details for part in _parts(detail)]
    text = "".join(part for part in parts if isinstance(part, str))
    if stated and text != stated:
        parts = [stated, *(part for part in parts if not isinstance(part, str))]
    events = _events(parts, choice)
    return events or None


_Part = str | tuple[type[ThoughtSigned | ThoughtRedacted], str]


def _parts(detail: LooseObject) -> Iterator[_Part]:
    if text := detail.text("text") or detail.text("summary"):
        yield text
    maker = detail.text("format")
    if signature := detail.text("signature"):
        yield ThoughtSigned, sealed_by(maker, signature)
    if data := detail.text("data"):
        yield ThoughtRedacted, sealed_by(maker, data)


def _events(parts: list[_Part], choice: int) -> list[Event]:
    """Return the events of parts, texts that touch each other as one."""
    events: list[Event] = []
    text = ""
    for part in parts:
        if isinstance(part, str):
            text += part
            continue
        if text:
            events.append(ReasoningDelta(text, choice))
            text = ""
        make, value = part
        events.append(make(value, choice))
    return [*events, ReasoningDelta(text, choice)] if text else events


def text_detail(index: int, signature: str | None, text: str | None = None) -> dict[str, Any]:
    """Return a thought. `text` None: it was told before, and this only signs it."""
    told = {} if text is None else {"text": text}
    maker, own = maker_of(signature or "")
    signed = {} if signature is None else {"signature": own}
    return {"type": "reasoning.text", "index": index, **told, **signed, "format": maker or _FORMAT}


def redacted_detail(index: int, data: str) -> dict[str, Any]:
    """Return a thought that only its maker can read."""
    maker, own = maker_of(data)
    return {"type": "reasoning.encrypted", "index": index, "data": own, "format": maker or _FORMAT}
