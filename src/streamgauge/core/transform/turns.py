"""The messages of a request's body as transformers see them: whose they are, how they are joined."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from streamgauge.core.transform.body import Form, Members

__all__ = ["is_system", "joined", "messages_of", "parts_of", "said_by"]

_BETWEEN = "\n\n"
_SYSTEM = frozenset({"system", "developer"})


def messages_of(body: Members) -> list[Members] | None:
    """Return the messages of a chat request, None for what is none that can be read."""
    found = body.get("messages")
    if not isinstance(found, list) or not all(isinstance(message, dict) for message in found):
        return None
    return found


def is_system(message: Members, form: Form) -> bool:
    """Return whether a message is the system's; `developer` is OpenAI's newer word for it."""
    role = message.get("role")
    if not isinstance(role, str):
        return False
    return role == "system" or (form.dialect != "anthropic" and role in _SYSTEM)


def parts_of(content: Any) -> list[Any]:
    """Return a message's content as parts; a plain text is one."""
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return list(content) if isinstance(content, list) else []


def joined(first: Any, second: Any) -> str | list[Any]:
    """Return two contents as one: two plain texts stay a plain text."""
    if isinstance(first, str) and isinstance(second, str):
        return first + _BETWEEN + second
    return [*parts_of(first), *parts_of(second)]


def said_by(role: str, content: Any, behind: Sequence[Members]) -> list[Members]:
    """Return `content` said by `role` before `behind`, joined with a first turn of the same role."""
    if behind and behind[0].get("role") == role:
        first: Mapping[str, Any] = behind[0]
        return [{**first, "content": joined(content, first.get("content"))}, *behind[1:]]
    return [{"role": role, "content": content}, *behind]
