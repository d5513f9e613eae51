"""Takes a client's billing line from the head of the prompt. It knows no upstream."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

from streamgauge.core.conversation import Conversation
from streamgauge.core.transform.body import REMOVED, Changes, Form, Members
from streamgauge.core.transform.turns import is_system, messages_of

__all__ = ["StripAttribution", "strip_attribution"]

_MARK = "x-anthropic-billing-header:"
"""Claude Code's first system block: it differs from call to call and defeats prefix caches."""
_PAIRS = re.compile(r"(?:[ \t]*[\w.-]+=[^;\n]*;)+(?:[ \t]*[\w.-]+=[^;\s]*(?=\n|$))?")
"""What stands behind the mark, whatever follows it on the same line."""


@dataclass(frozen=True, slots=True)
class StripAttribution:
    """The line that begins with the mark goes, and the block with it where it is all of it.

    What is in front of us may have put all blocks into one.
    """

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
    """Return the conversation without the line in its system blocks (WIRE §0.11)."""
    if not any(block.text.startswith(_MARK) for block in conversation.system):
        return conversation
    pairs = [(block, _unmarked(block.text)) for block in conversation.system]
    kept = tuple([replace(block, text=text) for block, text in pairs if text or not block.text])
    return replace(conversation, system=kept)


def _unmarked(text: str) -> str:
    """Return `text` itself where it does not begin with the mark, else what is behind that line."""
    while text.startswith(_MARK):
        pairs = _PAIRS.match(text, len(_MARK))
        rest = text.partition("\n")[2] if pairs is None else text[pairs.end() :]
        text = rest.lstrip()
    return text


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
        return _unmarked(content)
    if not isinstance(content, list) or not any(map(_is_marked, content)):
        return content
    kept = []
    for part in content:
        if not _is_marked(part):
            kept.append(part)
        elif text := _unmarked(part["text"]):
            kept.append({**part, "text": text})
    return kept


def _is_marked(part: object) -> bool:
    text = part.get("text") if isinstance(part, dict) else None
    return isinstance(text, str) and text.startswith(_MARK)
