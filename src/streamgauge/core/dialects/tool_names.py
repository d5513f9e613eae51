"""Fits the names of tools to what an upstream accepts, and knows the way back. Knows no dialect."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Container, Iterator, Mapping
from dataclasses import replace

from streamgauge.core.conversation import Conversation, Message, Part, ToolUse

__all__ = ["fitted_names"]

_LEGAL = re.compile(r"[A-Za-z0-9_-]+")
_ILLEGAL = re.compile(r"[^A-Za-z0-9_-]")
_DIGITS = 8
"""Of the hash: the same name is told in the same way in each turn, or no prefix cache would hit."""


def fitted_names(
    conversation: Conversation, longest: int | None
) -> tuple[Conversation, Mapping[str, str]]:
    """Return the conversation with names of `A-Za-z0-9_-`, at most `longest` of them.

    And what each replaced name was; None as bound replaces none. The names of one request stay
    different from each other.
    """
    named = dict.fromkeys(_names(conversation))
    if longest is None or all(len(name) <= longest and _LEGAL.fullmatch(name) for name in named):
        return conversation, {}
    told: dict[str, str] = {}
    taken = set(named)
    for name in named:
        if name and not (len(name) <= longest and _LEGAL.fullmatch(name)):
            told[name] = short = _fitting(name, longest, taken)
            taken.add(short)
    return _renamed(conversation, told), {short: name for name, short in told.items()}


def _names(conversation: Conversation) -> Iterator[str]:
    for tool in conversation.tools:
        yield tool.name
    for message in conversation.messages:
        if message.role == "assistant":
            for part in message.parts:
                if isinstance(part, ToolUse):
                    yield part.name


def _fitting(name: str, longest: int, taken: Container[str]) -> str:
    begin = _ILLEGAL.sub("_", name)[: longest - _DIGITS - 1]
    digest = _digest(name)
    while (short := f"{begin}_{digest[:_DIGITS]}") in taken:
        digest = _digest(digest)
    return short


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _renamed(conversation: Conversation, told: Mapping[str, str]) -> Conversation:
    choice = conversation.tool_choice
    if choice is not None and choice.name is not None and choice.name in told:
        choice = replace(choice, name=told[choice.name])
    return replace(
        conversation,
        messages=tuple(_turn(message, told) for message in conversation.messages),
        tools=tuple(replace(t, name=told.get(t.name, t.name)) for t in conversation.tools),
        tool_choice=choice,
    )


def _turn(message: Message, told: Mapping[str, str]) -> Message:
    if message.role != "assistant":
        return message
    return replace(message, parts=tuple(_part(part, told) for part in message.parts))


def _part(part: Part, told: Mapping[str, str]) -> Part:
    if isinstance(part, ToolUse) and part.name in told:
        return replace(part, name=told[part.name])
    return part
