"""System messages in the middle of a conversation: where they may stand, and as whose."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from streamgauge.core.conversation import Conversation, Message, Text, ToolResult
from streamgauge.core.transform.body import Changes, Form, Members
from streamgauge.core.transform.turns import is_system, joined, messages_of, parts_of

__all__ = ["MidSystem", "mid_system", "results_at_once"]

_REMINDER = "<system-reminder>\n{}\n</system-reminder>"


@dataclass(frozen=True, slots=True)
class MidSystem:
    """System messages behind the first turn become the user's, for templates that refuse them."""

    def converse(self, conversation: Conversation) -> Conversation:
        """Return the conversation with them said by the user."""
        return mid_system(conversation)

    def change(self, body: Members, form: Form) -> Changes:
        """Return the messages with them said by the user, where there are any."""
        messages = messages_of(body)
        if messages is None:
            return {}
        start = 0
        while form.dialect != "anthropic" and start < len(messages):
            if not is_system(messages[start], form):
                break
            start += 1
        behind = messages[start:]
        if not any(is_system(message, form) for message in behind):
            return {}
        return {"messages": [*messages[:start], *_said(_behind_results(behind, form), form)]}


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
    marked = (_REMINDER.format(text.text) for text in texts)
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


# -- the same on a body


def _said(messages: Sequence[Members], form: Form) -> list[Members]:
    """Join each system message, said by the user, with the user's turn beside it."""
    said: list[Members] = []
    ours = False
    for message in messages:
        told = is_system(message, form)
        turn = _reminder(message) if told else message
        beside = bool(said) and said[-1].get("role") == turn.get("role") == "user"
        if beside and (told or ours):
            said[-1] = {**said[-1], "content": joined(said[-1].get("content"), turn.get("content"))}
        else:
            said.append(turn)
        ours = told
    return said


def _reminder(message: Members) -> Members:
    content = message.get("content")
    if isinstance(content, str):
        return {"role": "user", "content": _REMINDER.format(content)}
    return {"role": "user", "content": [_marked(part) for part in parts_of(content)]}


def _marked(part: Members) -> Members:
    text = part.get("text") if isinstance(part, dict) else None
    return {**part, "text": _REMINDER.format(text)} if isinstance(text, str) else part


def _behind_results(messages: Sequence[Members], form: Form) -> list[Members]:
    """Move each system message that stands between calls and their results behind these."""
    moved: list[Members] = []
    waiting: list[Members] = []
    for message in messages:
        if is_system(message, form):
            waiting.append(message)
        elif waiting and message.get("role") == "tool":
            moved.append(message)
        else:
            moved += _parted(message, waiting) if waiting else [message]
            waiting = []
    return moved + waiting


def _parted(message: Members, waiting: Sequence[Members]) -> list[Members]:
    """Return a turn behind `waiting`; results that it holds (Anthropic's way) stand before them."""
    parts = parts_of(message.get("content"))
    results = [part for part in parts if _is_result(part)]
    if not results:
        return [*waiting, message]
    rest = [part for part in parts if not _is_result(part)]
    turns = [{**message, "content": results}, *waiting]
    return [*turns, {**message, "content": rest}] if rest else turns


def _is_result(part: object) -> bool:
    return isinstance(part, dict) and part.get("type") == "tool_result"
