"""Writes a conversation's messages as Anthropic's content blocks (WIRE §4.2). It knows no other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, assert_never

from streamgauge.core.conversation import (
    Document,
    Image,
    Message,
    Part,
    RedactedThought,
    Refusal,
    Text,
    Thought,
    ToolResult,
    ToolUse,
    maker_of,
)
from streamgauge.core.dialects.call_ids import CallIds
from streamgauge.core.dialects.losses import Loss, Losses
from streamgauge.core.dialects.written import argument_object

__all__ = ["BlockWriter", "cached"]

Members = dict[str, Any]

_FILLER = "."
"""What the user says where a history begins with the assistant: a text must not be blank."""


def cached(block: Members, cache: Mapping[str, Any] | None) -> Members:
    """Return `block` with its cache mark, if it has one."""
    if cache is not None:
        block["cache_control"] = cache
    return block


class BlockWriter:
    """Writes one request's messages. `unsigned`: reasoning without a signature may be sent.

    Anthropic refuses blank texts and reasoning that it did not sign, ids with other signs than
    its own, and a history that does not begin with the user.
    """

    __slots__ = ("_ids", "_losses", "_unsigned")

    def __init__(self, losses: Losses, *, unsigned: bool) -> None:
        self._losses = losses
        self._unsigned = unsigned
        self._ids = CallIds(illegal=r"[^A-Za-z0-9_-]")

    def system(self, blocks: Sequence[Text]) -> list[Members]:
        """Return the system prompt's blocks."""
        return [written for block in blocks for written in self._text(block.text, block.cache)]

    def messages(self, messages: Sequence[Message]) -> list[Members]:
        """Return the turns, alternating and the user's first, results before what else is said."""
        turns: list[Members] = []
        for message in messages:
            blocks = [written for part in message.parts for written in self._block(part)]
            if not blocks:
                continue
            if turns and turns[-1]["role"] == message.role:
                turns[-1]["content"] += blocks
            else:
                turns.append({"role": message.role, "content": blocks})
        for turn in turns:
            turn["content"].sort(key=lambda block: block["type"] != "tool_result")
        if not turns or turns[0]["role"] != "user":
            turns.insert(0, {"role": "user", "content": [{"type": "text", "text": _FILLER}]})
        return turns

    def _block(self, part: Part) -> list[Members]:
        match part:
            case Text():
                return self._text(part.text, part.cache)
            case Image():
                return [self._image(part)]
            case Document():
                return [self._document(part)]
            case Thought():
                return self._thought(part)
            case RedactedThought():
                return self._redacted(part)
            case Refusal():
                return self._text(part.text, None)
            case ToolUse():
                return [self._call(part)]
            case ToolResult():
                return [self._result(part)]
            case _ as unreachable:
                assert_never(unreachable)

    def _text(self, text: str, cache: Mapping[str, Any] | None) -> list[Members]:
        return [cached({"type": "text", "text": text}, cache)] if text.strip() else []

    def _image(self, image: Image) -> Members:
        self._losses.note(Loss.IMAGE_DETAIL, image.detail not in (None, "auto"))
        source: Members = {"type": "url", "url": image.url}
        if image.data is not None:
            source = {"type": "base64", "media_type": image.media_type, "data": image.data}
        return cached({"type": "image", "source": source}, image.cache)

    def _document(self, document: Document) -> Members:
        source: Members = {"type": "url", "url": document.url}
        if document.text is not None:
            source = {"type": "text", "media_type": "text/plain", "data": document.text}
        elif document.data is not None:
            source = {"type": "base64", "media_type": document.media_type, "data": document.data}
        block: Members = {"type": "document", "source": source}
        if document.title:
            block["title"] = document.title
        return cached(block, document.cache)

    def _redacted(self, thought: RedactedThought) -> list[Members]:
        if maker_of(thought.data)[0] is not None:
            self._losses.note(Loss.REDACTED_THINKING)
            return []
        return [{"type": "redacted_thinking", "data": thought.data}]

    def _thought(self, thought: Thought) -> list[Members]:
        signature = thought.signature or ""
        if maker_of(signature)[0] is not None:
            signature = ""
        if not signature and not self._unsigned:
            self._losses.note(Loss.THINKING)
            return []
        return [{"type": "thinking", "thinking": thought.text, "signature": signature}]

    def _call(self, call: ToolUse) -> Members:
        given: Any = argument_object(call.arguments)
        if given is None:
            self._losses.note(Loss.TOOL_ARGUMENTS)
            given = {"_raw": call.arguments}
        block = {"type": "tool_use", "id": self._ids.call(call.id), "name": call.name}
        return cached(block | {"input": given}, call.cache)

    def _result(self, result: ToolResult) -> Members:
        block: Members = {"type": "tool_result", "tool_use_id": self._ids.result(result.call_id)}
        only = result.parts[0] if len(result.parts) == 1 else None
        if isinstance(only, Text) and only.cache is None:
            block["content"] = only.text
        elif result.parts:
            block["content"] = [written for part in result.parts for written in self._block(part)]
        if result.is_error:
            block["is_error"] = True
        return cached(block, result.cache)
