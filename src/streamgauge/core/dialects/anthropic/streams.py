"""Turns a messages answer that is no stream into the stream that says the same (WIRE §4.4)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from streamgauge.core.dialects.anthropic.usage import UNSTATED
from streamgauge.core.dialects.failures import is_failure
from streamgauge.core.dialects.framing import json_frame
from streamgauge.core.dialects.loose import dump, load

__all__ = ["messages_stream"]

_Members = dict[str, Any]


def messages_stream(body: bytes) -> bytes | None:
    """Return the events from `message_start` to `message_stop`; None where `body` is no message.

    An error object becomes the `error` event.
    """
    loaded = load(body)
    answer = None if loaded is None else loaded.value
    if not isinstance(answer, dict):
        return None
    if is_failure(answer.get("error")):
        return _frame({"type": "error", "error": answer["error"]})
    content = answer.get("content")
    if not isinstance(content, list) or not all(isinstance(block, dict) for block in content):
        return None
    return b"".join(_frame(event) for event in _events(answer, content))


def _frame(event: _Members) -> bytes:
    return json_frame(event, str(event["type"]).encode())


def _events(answer: _Members, content: list[_Members]) -> Iterator[_Members]:
    stated = answer.get("usage")
    usage = stated if isinstance(stated, dict) else UNSTATED
    end = {"stop_reason": answer.get("stop_reason"), "stop_sequence": answer.get("stop_sequence")}
    started = {**answer, "content": [], "stop_reason": None, "stop_sequence": None}
    yield {"type": "message_start", "message": {**started, "usage": {**usage, "output_tokens": 0}}}
    for index, block in enumerate(content):
        yield from _block(block, index)
    yield {"type": "message_delta", "delta": end, "usage": usage}
    yield {"type": "message_stop"}


def _block(block: _Members, index: int) -> Iterator[_Members]:
    split = _SPLIT.get(str(block.get("type")))
    start, deltas = (block, []) if split is None else split(block)
    yield {"type": "content_block_start", "index": index, "content_block": start}
    for delta in deltas:
        yield {"type": "content_block_delta", "index": index, "delta": delta}
    yield {"type": "content_block_stop", "index": index}


def _text(block: _Members) -> tuple[_Members, list[_Members]]:
    citations = block.get("citations")
    cited = citations if isinstance(citations, list) else []
    deltas = [{"type": "citations_delta", "citation": citation} for citation in cited]
    text = {"type": "text_delta", "text": block.get("text") or ""}
    return {**block, "text": "", **({"citations": []} if cited else {})}, [*deltas, text]


def _thinking(block: _Members) -> tuple[_Members, list[_Members]]:
    thought = {"type": "thinking_delta", "thinking": block.get("thinking") or ""}
    signed = {"type": "signature_delta", "signature": block.get("signature") or ""}
    return {**block, "thinking": "", "signature": ""}, [thought, signed]


def _tool_use(block: _Members) -> tuple[_Members, list[_Members]]:
    given = {"type": "input_json_delta", "partial_json": dump(block.get("input") or {})}
    return {**block, "input": {}}, [given]


_SPLIT: Mapping[str, Callable[[_Members], tuple[_Members, list[_Members]]]] = {
    "text": _text,
    "thinking": _thinking,
    "tool_use": _tool_use,
    "server_tool_use": _tool_use,
}
