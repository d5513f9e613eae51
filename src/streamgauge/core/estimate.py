"""Guesses how many tokens a request is, for upstreams that cannot count. Never booked (SPEC §13.5)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, assert_never

import msgspec

from streamgauge.core.conversation import (
    Conversation,
    Document,
    Image,
    Part,
    RedactedThought,
    Refusal,
    Text,
    Thought,
    Tool,
    ToolResult,
    ToolUse,
)

__all__ = ["IMAGE_TOKENS", "PDF_BYTES_A_TOKEN", "estimate_tokens", "text_tokens"]

IMAGE_TOKENS = 1600
"""A large image at Anthropic. A guess too high makes an agent compact early, one too low too late."""
PDF_BYTES_A_TOKEN = 24
"""Of a PDF's own bytes, as a page of 40 KB read as text and picture, about 1,700 tokens."""
_URL_DOCUMENT = 3000
_A_MESSAGE = 4
_A_TOOL = 8
_A_CALL = 8
_QUARTERS = 4

_TWO_BYTES = bytes(range(0xC2, 0xE0))
_THREE_BYTES = bytes(range(0xE0, 0xF0))
_FOUR_BYTES = bytes(range(0xF0, 0xF5))


def estimate_tokens(conversation: Conversation) -> int:
    """Return an estimate of the input tokens: texts by script, constants for the rest.

    docs/wire.md has the formula. It knows no tokenizer: who is told it must be told what it is.
    """
    tokens = sum(text_tokens(block.text) for block in conversation.system)
    tokens += _A_MESSAGE * (len(conversation.messages) + bool(conversation.system))
    for message in conversation.messages:
        tokens += _parts_tokens(message.parts)
    tokens += sum(map(_tool_tokens, conversation.tools))
    if conversation.schema:
        tokens += _json_tokens(conversation.schema)
    return tokens


def text_tokens(text: str) -> int:
    """Return the tokens guessed for `text`, rounded up.

    A sign of ASCII is a quarter of a token, one of the other alphabets half of one, one of
    Chinese, Japanese, Korean and the scripts of India and beyond a whole one, an emoji two.
    """
    if text.isascii():
        return -(-len(text) // _QUARTERS)
    raw = text.encode("utf-8", "surrogatepass")
    two, three, four = (
        len(raw) - len(raw.translate(None, lead))
        for lead in (_TWO_BYTES, _THREE_BYTES, _FOUR_BYTES)
    )
    ascii_signs = len(text) - two - three - four
    return -(-(ascii_signs + 2 * two + 4 * three + 8 * four) // _QUARTERS)


def _parts_tokens(parts: Iterable[Part]) -> int:
    return sum(map(_part_tokens, parts))


def _part_tokens(part: Part) -> int:
    match part:
        case Text() | Thought() | Refusal():
            return text_tokens(part.text)
        case Image():
            return IMAGE_TOKENS
        case Document():
            return _document_tokens(part)
        case RedactedThought():
            return text_tokens(part.data)
        case ToolUse():
            return _A_CALL + text_tokens(part.name) + text_tokens(part.arguments)
        case ToolResult():
            return _A_CALL + _parts_tokens(part.parts)
        case _ as unreachable:
            assert_never(unreachable)


def _document_tokens(document: Document) -> int:
    if document.text is not None:
        return text_tokens(document.text)
    if document.data is not None:
        return -(-len(document.data) * 3 // 4 // PDF_BYTES_A_TOKEN)
    return _URL_DOCUMENT


def _tool_tokens(tool: Tool) -> int:
    described = text_tokens(tool.description) if tool.description else 0
    return _A_TOOL + text_tokens(tool.name) + described + _json_tokens(tool.schema)


def _json_tokens(value: Any) -> int:
    try:
        return text_tokens(msgspec.json.encode(value).decode())
    except UnicodeEncodeError:  # a lone surrogate somewhere in it
        return text_tokens(str(value))
