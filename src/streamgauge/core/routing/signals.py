"""What rules and scenarios look at in a request, worked out only when asked for. Knows no rule."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from streamgauge.core.routing.asked import Asked

__all__ = ["Signals"]

_IMAGES = frozenset({"image", "image_url", "input_image"})
_WORDS = frozenset(
    {
        "text",
        "input_text",
        "output_text",
        "tool_use",
        "tool_result",
        "thinking",
        "redacted_thinking",
    }
)
"""Parts whose tokens their own bytes pay for: two bytes a token are always enough."""
_DEAR_PART = 3000
"""Tokens of an image or a document that the body only links to: core/estimate's dearest constant."""
_BYTES_A_TOKEN = 2
_ASCII_A_TOKEN = 4
"""core/estimate's count for a text of ASCII; no sign is fewer tokens than one of these."""
_LITTLE_EFFORT = frozenset({"none", "minimal"})


class Signals:
    """Looks into one request. Texts and parts are walked at most once, and only if somebody asks."""

    __slots__ = ("_asked", "_chars", "_estimate", "_estimated", "_parts", "_user_text")

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._chars: tuple[int, int] | None = None
        self._parts: tuple[bool, int] | None = None
        self._user_text: str | None = None
        self._estimate: int | None = None
        self._estimated = False

    @property
    def asked(self) -> Asked:
        """The request itself."""
        return self._asked

    @property
    def user_text(self) -> str:
        """The text of the last message in which the user says something, in lower case."""
        if self._user_text is None:
            self._user_text = _last_user_text(self._asked.fields).lower()
        return self._user_text

    def has_chars(self, least: int) -> bool:
        """Return whether the texts of system and messages have `least` characters or more."""
        if self._asked.size < least:  # a character takes at least a byte
            return False
        left = least
        for text in _texts(self._asked.fields):
            left -= len(text)
            if left <= 0:
                return True
        return left <= 0

    @property
    def has_image(self) -> bool:
        """Whether an image is in any message, or in the result of a call."""
        return self._walked()[0]

    @property
    def wants_web_search(self) -> bool:
        """Whether the upstream is asked to search the web; a client's own tool is none of it."""
        fields = self._asked.fields
        if isinstance(fields.get("web_search_options"), dict):
            return True
        if any(_type_of(tool).startswith("web_search") for tool in _list(fields.get("tools"))):
            return True
        return any(_member(p, "id") == "web" for p in _list(fields.get("plugins")))

    @property
    def wants_thinking(self) -> bool:
        """Whether the client asks for reasoning, in any of the ways that are in use."""
        fields = self._asked.fields
        thinking = fields.get("thinking")
        if isinstance(thinking, dict):
            return thinking.get("type") not in (None, "disabled")
        told = fields.get("reasoning")
        told = told if isinstance(told, dict) else {}
        efforts = (fields.get("reasoning_effort"), told.get("effort"))
        if any(isinstance(e, str) and e not in _LITTLE_EFFORT for e in efforts):
            return True
        template = _member(fields.get("chat_template_kwargs"), "enable_thinking")
        return told.get("enabled") is True or bool(told.get("max_tokens")) or template is True

    def is_longer_than(self, tokens: int) -> bool:
        """Return whether the input is longer than `tokens`; an unknown length is not.

        The estimate reads the whole conversation. It is made only where the least and the most
        that can come of it do not decide already.
        """
        size, most = self._asked.size, self._asked.size // _BYTES_A_TOKEN
        if most > tokens:
            chars, ascii_chars = self._counted()
            if chars // _ASCII_A_TOKEN > tokens:
                return True
            most = ascii_chars // _ASCII_A_TOKEN + (size - ascii_chars) // _BYTES_A_TOKEN
        if most <= tokens and most + self._walked()[1] * _DEAR_PART <= tokens:
            return False
        if not self._estimated:
            self._estimate, self._estimated = self._asked.estimate(), True
        return self._estimate is not None and self._estimate > tokens

    def _counted(self) -> tuple[int, int]:
        """Return the characters of all texts, and how many of them are in texts of ASCII only."""
        if self._chars is None:
            chars = ascii_chars = 0
            for text in _texts(self._asked.fields):
                chars += len(text)
                ascii_chars += len(text) if text.isascii() else 0
            self._chars = chars, ascii_chars
        return self._chars

    def _walked(self) -> tuple[bool, int]:
        """Return whether there is an image, and how many parts are no words."""
        if self._parts is None:
            image, dear = False, 0
            for part in _all_parts(self._asked.fields):
                kind = _type_of(part)
                image = image or kind in _IMAGES
                dear += kind not in _WORDS
            self._parts = image, dear
        return self._parts


def _last_user_text(fields: Mapping[str, Any]) -> str:
    """Return it; a turn that only carries results of calls is passed over."""
    for message in reversed(_messages(fields)):
        if _member(message, "role") == "user":
            texts = [*_own_texts(message.get("content"))]
            if texts:
                return "\n".join(texts)
    return "\n".join(_plain(fields))


def _texts(fields: Mapping[str, Any]) -> Iterator[str]:
    yield from _plain(fields)
    yield from _own_texts(fields.get("system"))
    for message in _messages(fields):
        content = _member(message, "content")
        yield from _own_texts(content)
        for part in _list(content):
            if _type_of(part) == "tool_result":
                yield from _own_texts(part.get("content"))


def _plain(fields: Mapping[str, Any]) -> Iterator[str]:
    """Yield the texts of requests that have no messages: a prompt, an input, or several."""
    for name in ("prompt", "input", "instructions"):
        value = fields.get(name)
        for text in value if isinstance(value, list) else [value]:
            if isinstance(text, str):
                yield text


def _own_texts(content: object) -> Iterator[str]:
    if isinstance(content, str):
        yield content
    for part in _list(content):
        if isinstance(text := _member(part, "text"), str):
            yield text


def _all_parts(fields: Mapping[str, Any]) -> Iterator[Any]:
    for message in _messages(fields):
        for part in _list(_member(message, "content")):
            yield part
            yield from _list(_member(part, "content"))


def _messages(fields: Mapping[str, Any]) -> list[Any]:
    return _list(fields.get("messages")) or _list(fields.get("input"))


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _member(value: object, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else None


def _type_of(part: object) -> str:
    kind = _member(part, "type")
    return kind if isinstance(kind, str) else ""
