"""Takes a client's billing line from the head of the prompt. It knows no upstream."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from streamgauge.core.conversation import Conversation
from streamgauge.core.transform.body import REMOVED, Changes, Form, Members
from streamgauge.core.transform.turns import is_system, messages_of

__all__ = ["StripAttribution", "strip_attribution"]

_MARK = "x-anthropic-billing-header:"
"""Claude Code's first system block: it differs from call to call and defeats prefix caches."""


@dataclass(frozen=True, slots=True)
class StripAttribution:
    """System blocks that begin with the mark go."""

    def converse(self, conversation: Conversation) -> Conversation:
        """Return the conversation without them."""
        return strip_attribution(conversation)

    def change(self, body: Members, form: Form) -> Changes:
        """Return the system prompt without them, where there are any."""
        if form.dialect == "anthropic":
            system = body.get("system")
            kept = _kept(system)
            return {} if kept is system else {"system": kept or REMOVED}
        messages = messages_of(body)
        if not messages:
            return {}
        left = _left(messages, form)
        return {} if left == messages else {"messages": left}


def strip_attribution(conversation: Conversation) -> Conversation:
    """Return the conversation without system blocks that begin with the mark (WIRE §0.11)."""
    kept = tuple(block for block in conversation.system if not block.text.startswith(_MARK))
    if len(kept) == len(conversation.system):
        return conversation
    return replace(conversation, system=kept)


def _left(messages: list[Members], form: Form) -> list[Members]:
    """Return the messages without marked blocks among the system's leading ones."""
    left: list[Members] = []
    for number, message in enumerate(messages):
        if not is_system(message, form):
            return left + messages[number:]
        content = message.get("content")
        kept = _kept(content)
        if kept is content:
            left.append(message)
        elif kept:
            left.append({**message, "content": kept})
    return left


def _kept(content: Any) -> Any:
    """Return `content` itself where nothing goes, empty where all of it does."""
    if isinstance(content, str):
        return "" if content.startswith(_MARK) else content
    if not isinstance(content, list):
        return content
    kept = [part for part in content if not _is_marked(part)]
    return content if len(kept) == len(content) else kept


def _is_marked(part: object) -> bool:
    text = part.get("text") if isinstance(part, dict) else None
    return isinstance(text, str) and text.startswith(_MARK)
