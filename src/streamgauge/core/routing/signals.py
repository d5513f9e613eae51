"""What rules and scenarios look at in a request, worked out only when asked for. Knows no rule."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from streamgauge.core.routing.asked import Asked

__all__ = ["Signals"]

_IMAGES = frozenset({"image", "image_url", "input_image", "computer_screenshot"})
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
_OF_SEARCH = frozenset({"web_search_options", "tools", "plugins"})
_OF_THINKING = frozenset({"thinking", "reasoning", "reasoning_effort", "chat_template_kwargs"})
_TELLING = _OF_SEARCH | _OF_THINKING
"""Members without any of which nothing is asked for: most requests have none."""


class Signals(msgspec.Struct):
    """Looks into one request. Texts and parts are walked at most once, and only if somebody asks.

    `asked`: the request itself.
    """

    asked: Asked
    _chars: tuple[int, int] | None = None
    _dear: int | None = None
    _image: bool = False
    _user_text: str | None = None
    _estimate: int | None = None
    _estimated: bool = False

    @property
    def user_text(self) -> str:
        """The text of the last message in which the user says something, in lower case."""
        if self._user_text is None:
            self._user_text = _last_user_text(self.asked.fields).lower()
        return self._user_text

    def is_plain(self, tokens: int) -> bool:
        """Return True only where nothing but text is in it, no longer than `tokens`, and nothing asked for.

        Such a request is of no scenario that looks into it: one look instead of one for each.
        """
        asked = self.asked
        if asked.size // _BYTES_A_TOKEN > tokens or not _TELLING.isdisjoint(asked.fields):
            return False
        for message in _messages(asked.fields):
            if isinstance(message, dict) and (
                isinstance(message.get("content"), list) or "output" in message
            ):
                return False
        return True

    def has_chars(self, least: int) -> bool:
        """Return whether the texts of system and messages have `least` characters or more."""
        left = least
        for text in _texts(self.asked.fields):
            left -= len(text)
            if left <= 0:
                return True
        return left <= 0

    @property
    def has_image(self) -> bool:
        """Whether an image is in any message, or in the result of a call."""
        if self._dear is None:
            self._walk()
        return self._image

    @property
    def wants_web_search(self) -> bool:
        """Whether the upstream is asked to search the web; a client's own tool is none of it."""
        fields = self.asked.fields
        if _OF_SEARCH.isdisjoint(fields):
            return False
        if isinstance(fields.get("web_search_options"), dict):
            return True
        for tool in _list(fields.get("tools")):  # agents bring a hundred
            kind = tool.get("type") if isinstance(tool, dict) else None
            if isinstance(kind, str) and kind.startswith("web_search"):
                return True
        return any(_member(p, "id") == "web" for p in _list(fields.get("plugins")))

    @property
    def wants_thinking(self) -> bool:
        """Whether the client asks for reasoning, in any of the ways that are in use."""
        fields = self.asked.fields
        if _OF_THINKING.isdisjoint(fields):
            return False
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
        size, most = self.asked.size, self.asked.size // _BYTES_A_TOKEN
        if most > tokens:
            chars, ascii_chars = self._counted()
            if chars // _ASCII_A_TOKEN > tokens:
                return True
            most = ascii_chars // _ASCII_A_TOKEN + (size - ascii_chars) // _BYTES_A_TOKEN
        if most <= tokens:
            dear = self._walk() if self._dear is None else self._dear
            if most + dear * _DEAR_PART <= tokens:
                return False
        if not self._estimated:
            self._estimate, self._estimated = self.asked.estimate(), True
        return self._estimate is not None and self._estimate > tokens

    def _counted(self) -> tuple[int, int]:
        """Return the characters of all texts, and how many of them are in texts of ASCII only."""
        if self._chars is None:
            chars = ascii_chars = 0
            for text in _texts(self.asked.fields):
                chars += len(text)
                ascii_chars += len(text) if text.isascii() else 0
            self._chars = chars, ascii_chars
        return self._chars

    def _walk(self) -> int:
        """Look at all parts: for images, and for what is no words, whose number is returned."""
        dear = 0
        for message in _messages(self.asked.fields):
            for kind in _kinds(_parts(message)):
                self._image = self._image or kind in _IMAGES
                dear += kind not in _WORDS
        self._dear = dear
        return dear


def _last_user_text(fields: Mapping[str, Any]) -> str:
    """Return it; a turn that only carries results of calls is passed over."""
    for message in reversed(_messages(fields)):
        if isinstance(message, dict) and message.get("role") == "user":
            content = message.get("content")
            if isinstance(content, str):
                return content
            if texts := [*_own_texts(content)]:
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


def _kinds(parts: list[Any]) -> Iterator[str]:
    """Yield the types of parts, and of the parts within them."""
    for part in parts:
        yield _type_of(part)
        yield from map(_type_of, _list(_member(part, "content")))


def _parts(message: object) -> list[Any]:
    """Return what a message holds beside plain text; the Responses API has a call's result in `output`."""
    if not isinstance(message, dict):
        return []
    if isinstance(content := message.get("content"), list):
        return content
    output = message.get("output")
    return [output] if isinstance(output, dict) else _list(output)


def _messages(fields: Mapping[str, Any]) -> list[Any]:
    messages = fields.get("messages")
    if isinstance(messages, list) and messages:
        return messages
    return _list(fields.get("input"))


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _member(value: object, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else None


def _type_of(part: object) -> str:
    kind = _member(part, "type")
    return kind if isinstance(kind, str) else ""
