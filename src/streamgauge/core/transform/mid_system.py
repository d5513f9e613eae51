"""System messages in the middle of a conversation: where they may stand, and as whose."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from streamgauge.core.conversation import Conversation, Message, Text, ToolResult

__all__ = ["mid_system", "results_at_once"]


def results_at_once(conversation: Conversation) -> Conversation:
    """Return the conversation with no system message between calls and their results.

    Chat dialects want a call's results right behind it: the system message moves behind them.
    """
    if not _has_system(conversation):
        return conversation
    return replace(conversation, messages=tuple(_moved(conversation.messages)))


def mid_system(conversation: Conversation) -> Conversation:
    """Return the conversation with mid-conversation system messages said by the user, marked.

    Many chat templates allow a system message only at the start (WIRE §0.10). Each text keeps its
    bytes inside `<system-reminder>` lines, and joins the user's turn beside it, if there is one.
    """
    if not _has_system(conversation):
        return conversation
    messages: list[Message] = []
    ours = False
    for message in _moved(conversation.messages):
        told = message.role == "system"
        turn = _told_by_user(message) if told else message
        beside = bool(messages) and messages[-1].role == turn.role == "user"
        if beside and (told or ours):
            messages[-1] = Message("user", messages[-1].parts + turn.parts)
        else:
            messages.append(turn)
        ours = told
    return replace(conversation, messages=tuple(messages))


def _has_system(conversation: Conversation) -> bool:
    return any(message.role == "system" for message in conversation.messages)


def _told_by_user(message: Message) -> Message:
    texts = [part for part in message.parts if isinstance(part, Text)]
    marked = (f"<system-reminder>\n{text.text}\n</system-reminder>" for text in texts)
    return Message("user", tuple(map(Text, marked, (text.cache for text in texts))))


def _moved(messages: Iterable[Message]) -> list[Message]:
    moved: list[Message] = []
    waiting: list[Message] = []
    for message in messages:
        if message.role == "system":
            waiting.append(message)
            continue
        results = tuple(p for p in message.parts if isinstance(p, ToolResult)) if waiting else ()
        if not results:
            moved += [*waiting, message]
        else:
            moved += [Message("user", results), *waiting]
            rest = tuple(p for p in message.parts if not isinstance(p, ToolResult))
            moved += [Message("user", rest)] if rest else []
        waiting = []
    return moved + waiting
