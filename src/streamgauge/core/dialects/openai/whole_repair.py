"""Does to a chat answer that is no stream what is done to the chunks of one (SPEC §14.6)."""

from __future__ import annotations

from typing import Any

from streamgauge.core.dialects.openai.think_frames import told_apart
from streamgauge.core.transform.chain import Chain
from streamgauge.core.transform.think_tags import ThinkTags
from streamgauge.core.transform.tool_call_repair import repaired

__all__ = ["changed_choices"]

Members = dict[str, Any]


def changed_choices(answer: Members, chain: Chain) -> Members:
    """Return `choices` where they differ, nothing else. Changes `answer`, which is its own copy."""
    choices = answer.get("choices")
    listed = choices if isinstance(choices, list) else []
    found = [choice.get("message") for choice in listed if isinstance(choice, dict)]
    messages = [message for message in found if isinstance(message, dict)]
    changed = [_change(message, chain) for message in messages]
    return {"choices": choices} if any(changed) else {}


def _change(message: Members, chain: Chain) -> bool:
    changed = False
    content = message.get("content")
    if chain.think_tags and isinstance(content, str):
        tags = ThinkTags()
        changed = told_apart(message, [*tags.feed(content), *tags.end()])
    calls = message.get("tool_calls") if chain.tool_call_repair else None
    for call in calls if isinstance(calls, list) else ():
        function = call.get("function") if isinstance(call, dict) else None
        arguments = function.get("arguments") if isinstance(function, dict) else None
        again = repaired(arguments) if isinstance(arguments, str) else None
        if again is not None:
            call["function"]["arguments"] = again
            changed = True
    return changed
