"""Writes an answer that is no stream as a chat completion (WIRE §2.2, §5.2)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from typing import Any

from streamgauge.core.assembly import AssembledMessage
from streamgauge.core.conversation import RedactedThought, Refusal, Text, Thought, ToolUse
from streamgauge.core.dialects.base import Telling
from streamgauge.core.dialects.finish import kept_finish
from streamgauge.core.dialects.framing import json_bytes
from streamgauge.core.dialects.openai.details import redacted_detail, text_detail
from streamgauge.core.dialects.openai.ending import finish_of, made_ids, usage_members
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
    """Return the body that says the same as the stream of these events.

    `usage`: the meter's counts, left out while a main one is unknown. `added`: further members.
    """
    counts = usage_members(usage)
    return json_bytes(
        {
            "id": f"chatcmpl-{telling.id}",
            "object": "chat.completion",
            "created": telling.created,
            "model": telling.model,
            "choices": [_choice(each, telling) for each in (message, *message.others)],
            **({} if counts is None else {"usage": counts}),
            **(added or {}),
        }
    )


def _choice(message: AssembledMessage, telling: Telling) -> dict[str, Any]:
    finish: Finished | None = None
    finish = reduce(kept_finish, message.finishes, finish)
    called = any(isinstance(block, ToolUse) for block in message.blocks)
    ended = finish_of(finish, called=called, refused=message.refusal)
    said = _message(message, CallIds(made_ids(telling, message.choice)))
    return {"index": message.choice, "message": said, "logprobs": None, **ended}


def _message(message: AssembledMessage, ids: CallIds) -> dict[str, Any]:
    blocks = message.blocks
    text = "".join(block.text for block in blocks if isinstance(block, Text))
    refusal = "".join(block.text for block in blocks if isinstance(block, Refusal))
    calls = [_call(block, ids) for block in blocks if isinstance(block, ToolUse)]
    told: dict[str, Any] = {
        "role": "assistant",
        "content": None if calls and not text else text,
        "refusal": refusal or None,
        **_reasoning(message),
    }
    return {**told, "tool_calls": calls} if calls else told


def _call(call: ToolUse, ids: CallIds) -> dict[str, Any]:
    function = {"name": call.name or NAMELESS, "arguments": call.arguments}
    return {"id": ids.take(call.id), "type": "function", "function": function}


def _reasoning(message: AssembledMessage) -> dict[str, Any]:
    """Return the thoughts as one text, and in `reasoning_details` where any is signed or hidden."""
    thoughts = [b for b in message.blocks if isinstance(b, Thought | RedactedThought)]
    text = "".join(thought.text for thought in thoughts if isinstance(thought, Thought))
    told: dict[str, Any] = {"reasoning_content": text} if text else {}
    if any(isinstance(t, RedactedThought) or t.signature is not None for t in thoughts):
        told["reasoning_details"] = [_detail(n, thought) for n, thought in enumerate(thoughts)]
    return told


def _detail(number: int, thought: Thought | RedactedThought) -> dict[str, Any]:
    if isinstance(thought, RedactedThought):
        return redacted_detail(number, thought.data)
    return text_detail(number, thought.signature, thought.text)
