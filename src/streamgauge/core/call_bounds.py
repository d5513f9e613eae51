"""How many tokens a request can take at most, before it is called. Knows no price and no limit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from streamgauge.core.chat import ChatRequest
from streamgauge.core.conversation import Conversation
from streamgauge.core.dialects.codecs import CLIENTS
from streamgauge.core.errors import RequestError
from streamgauge.core.estimate import estimate_tokens

__all__ = ["CEILING", "CallBounds", "call_bounds"]

CEILING = 131_072
"""Tokens: no model of today writes a longer answer. For answers that nobody bounds otherwise."""

_BYTES_A_TOKEN = 3
"""In a body that is not read: one sign of Chinese, and a quarter more than English text needs."""
_MARGIN = 4
"""A quarter more than estimated: the estimate is right in the middle, and money needs a bound."""
_SMALL = 4096
"""Bytes: up to here a body is not read for its length alone, which takes longer than all the rest."""
_OPTIONS: Mapping[str, tuple[str, ...]] = {
    "chat/completions": ("max_completion_tokens", "max_tokens"),
    "completions": ("max_tokens",),
    "messages": ("max_tokens",),
    "responses": ("max_output_tokens",),
}
"""By endpoint; one that is not here has no output. Of two, the larger one counts."""
_CHATS = frozenset({"chat/completions", "messages"})


@dataclass(frozen=True, slots=True)
class CallBounds:
    """Tokens. `output` None: the request does not say; `ceiling` is then the most."""

    input: int
    output: int | None
    ceiling: int


def call_bounds(
    request: ChatRequest, conversation: Conversation | None, context: int | None
) -> CallBounds:
    """Return the bounds of a call. `conversation`: the request as read, where it was.

    `context`: how many tokens the model takes, prompt and answer, where that is known.
    """
    ceiling = (CEILING if context is None else min(CEILING, context)) * request.n
    options = _OPTIONS.get(request.endpoint)
    if options is None:
        return CallBounds(_input(request, conversation), 0, 0)
    stated = [count for name in options if (count := _count(request.fields, name))]
    output = max(stated) * request.n if stated else None
    return CallBounds(_input(request, conversation), output, ceiling)


def _input(request: ChatRequest, conversation: Conversation | None) -> int:
    if conversation is None and _worth_reading(request):
        try:
            conversation = CLIENTS[request.dialect].read(request.fields)
        except RequestError:
            conversation = None  # whether it is one, its upstream judges
    if conversation is None:
        return -(-len(request.raw) // _BYTES_A_TOKEN)
    tokens = estimate_tokens(conversation)
    return tokens + tokens // _MARGIN


def _worth_reading(request: ChatRequest) -> bool:
    """Whether its length may tell little: pictures are long, or lie elsewhere."""
    raw = request.raw
    return request.endpoint in _CHATS and (len(raw) > _SMALL or b"url" in raw)


def _count(fields: Mapping[str, Any], name: str) -> int | None:
    value = fields.get(name)
    return value if type(value) is int and value > 0 else None
