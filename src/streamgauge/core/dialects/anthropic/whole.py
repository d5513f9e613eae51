"""Writes an answer that is no stream as an Anthropic message (WIRE §4.3, §5.1)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import reduce
from typing import Any, assert_never

from streamgauge.core.assembly import AssembledMessage, Block
from streamgauge.core.conversation import RedactedThought, Refusal, Text, Thought, ToolUse
from streamgauge.core.dialects.anthropic.ending import stop_of, usage_members
from streamgauge.core.dialects.base import Telling
from streamgauge.core.dialects.finish import kept_finish
from streamgauge.core.dialects.framing import json_bytes, json_text
from streamgauge.core.dialects.loose import clean_text, load
from streamgauge.core.dialects.tool_calls import NAMELESS, CallIds
from streamgauge.core.events import Finished
from streamgauge.core.usage import TokenUsage

__all__ = ["write_answer"]


def write_answer(
    message: AssembledMessage,
    telling: Telling,
    usage: TokenUsage,
    added: Mapping[str, Any] | None = None,
) -> bytes:
    """Return the body that says the same as the stream of these events; the first choice only.

    `usage`: the meter's counts; what is unknown is 0, for which there is no other word. `added`:
    further members.
    """
    ids = CallIds(f"toolu_{telling.id}")
    finish: Finished | None = None
    finish = reduce(kept_finish, message.finishes, finish)
    called = any(isinstance(block, ToolUse) for block in message.blocks)
    head = {
        "id": f"msg_{telling.id}",
        "type": "message",
        "role": "assistant",
        "model": telling.model,
    }
    tail: dict[str, Any] = {
        **stop_of(finish, called=called, refused=message.refusal),
        "usage": {"input_tokens": 0, **usage_members(usage)},
        **(added or {}),
    }
    content = b",".join(_block(block, ids) for block in _joined(message.blocks))
    return json_bytes(head)[:-1] + b',"content":[' + content + b"]," + json_bytes(tail)[1:]


def _joined(blocks: tuple[Block, ...]) -> Iterator[Block]:
    """Yield the blocks, a refusal as the text that it is here, one with the text beside it."""
    text = ""
    for block in blocks:
        if isinstance(block, Text | Refusal):
            text += block.text
            continue
        if text:
            yield Text(text)
            text = ""
        yield block
    if text:
        yield Text(text)


def _block(block: Block, ids: CallIds) -> bytes:
    match block:
        case Text() | Refusal():
            return json_bytes({"type": "text", "text": block.text})
        case Thought():
            signed = {"thinking": block.text, "signature": block.signature or ""}
            return json_bytes({"type": "thinking", **signed})
        case RedactedThought():
            return json_bytes({"type": "redacted_thinking", "data": block.data})
        case ToolUse():
            named = (json_text(ids.take(block.id)), json_text(block.name or NAMELESS))
            given = _input(block.arguments)
            return b'{"type":"tool_use","id":%b,"name":%b,"input":%b}' % (*named, given)
        case _:
            assert_never(block)


def _input(arguments: str) -> bytes:
    """Return the arguments as the object they are, digit for digit; else as text in an object."""
    written = clean_text(arguments).encode()
    loaded = load(written)
    if loaded is not None and loaded.legal and isinstance(loaded.value, dict):
        return written
    return b'{"_raw":%b}' % json_text(arguments) if written.strip() else b"{}"
