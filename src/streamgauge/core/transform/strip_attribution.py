"""Takes a client's billing line from the head of the prompt. It knows no dialect."""

from __future__ import annotations

from dataclasses import replace

from streamgauge.core.conversation import Conversation

__all__ = ["strip_attribution"]

_MARK = "x-anthropic-billing-header:"
"""Claude Code's first system block: it differs from call to call and defeats prefix caches."""


def strip_attribution(conversation: Conversation) -> Conversation:
    """Return the conversation without system blocks that begin with the mark (WIRE §0.11)."""
    kept = tuple(block for block in conversation.system if not block.text.startswith(_MARK))
    if len(kept) == len(conversation.system):
        return conversation
    return replace(conversation, system=kept)
