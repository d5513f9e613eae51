"""Turns a Responses answer that is no stream into the stream that says the same (WIRE §3)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from streamgauge.core.dialects.failures import is_failure
from streamgauge.core.dialects.framing import json_frame
from streamgauge.core.dialects.loose import load

__all__ = ["response_stream"]

_ENDS = ("completed", "incomplete", "failed")
_GIVEN: Mapping[str, tuple[str, str]] = {
    "function_call": ("arguments", "response.function_call_arguments"),
    "custom_tool_call": ("input", "response.custom_tool_call_input"),
    "mcp_call": ("arguments", "response.mcp_call_arguments"),
}
"""The member of a call that a stream says in deltas, and what these events' names begin with."""


def response_stream(body: bytes) -> bytes | None:
    """Return the events from `response.created` to the final one; None for no finished answer."""
    loaded = load(body)
    answer = None if loaded is None else loaded.value
    if not isinstance(answer, dict):
        return None
    status = answer.get("status")
    if status not in _ENDS:
        error = answer.get("error")
        return (
            json_frame({"type": "error", "error": error}, b"error") if is_failure(error) else None
        )
    begun = {**answer, "status": "in_progress", "output": [], "usage": None}
    events = [{"type": "response.created", "response": begun}]
    output = answer.get("output")
    items = [i for i in output if isinstance(i, dict)] if isinstance(output, list) else []
    for index, item in enumerate(items):
        events.extend(_item(item, index))
    events.append({"type": f"response.{status}", "response": answer})
    return b"".join(
        json_frame({**event, "sequence_number": n}, str(event["type"]).encode())
        for n, event in enumerate(events)
    )


def _item(item: dict[str, Any], index: int) -> Iterator[dict[str, Any]]:
    key, name = _GIVEN.get(str(item.get("type")), ("", ""))
    given = item.get(key)
    # What the deltas say is not in the item that they are added to.
    bare = {**item, key: ""} if given else item
    bare = {**bare, "content": []} if isinstance(item.get("content"), list) else bare
    yield {"type": "response.output_item.added", "output_index": index, "item": bare}
    at = {"item_id": item.get("id"), "output_index": index}
    if given:
        yield {"type": f"{name}.delta", **at, "delta": given}
        yield {"type": f"{name}.done", **at, key: given}
    if item.get("type") == "message":
        parts = item.get("content")
        for number, part in enumerate(parts if isinstance(parts, list) else ()):
            if isinstance(part, dict):
                yield from _part(part, {**at, "content_index": number})
    yield {"type": "response.output_item.done", "output_index": index, "item": item}


def _part(part: dict[str, Any], at: dict[str, Any]) -> Iterator[dict[str, Any]]:
    key = "refusal" if part.get("type") == "refusal" else "text"
    name = "response.refusal" if key == "refusal" else "response.output_text"
    text = part.get(key)
    yield {"type": "response.content_part.added", **at, "part": {**part, key: ""}}
    if text:
        yield {"type": f"{name}.delta", **at, "delta": text, "logprobs": []}
        yield {"type": f"{name}.done", **at, key: text, "logprobs": []}
    yield {"type": "response.content_part.done", **at, "part": part}
