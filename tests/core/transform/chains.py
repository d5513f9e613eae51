"""Chains as the configuration makes them, and streams that run through them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from streamgauge.config.transformer_chain import chain_of
from streamgauge.config.upstream import Upstream
from streamgauge.core.transform.chain import Chain

from ..playbook import Play, request_of

__all__ = ["call", "chain", "chunk", "event", "played", "think_text"]


def chain(kind: str, transformers: Sequence[Any]) -> Chain:
    """Return the chain of an upstream that is configured so."""
    base: dict[str, Any] = {"name": "a", "kind": kind, "base_url": "http://127.0.0.1:1"}
    upstream = Upstream.model_validate({**base, "transformers": transformers})
    return chain_of(kind, upstream.transformers)


def chunk(delta: dict[str, Any], finish: str | None = None, **more: Any) -> bytes:
    """Return a chat chunk."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    told = {"id": "c", "created": 1.50, "model": "m", "choices": [choice], "own": "ü", **more}
    return b"data: " + json.dumps(told, ensure_ascii=False).encode() + b"\n\n"


def call(arguments: str, index: int | None = 0, **named: str) -> dict[str, Any]:
    """Return the delta of a piece of a call; `id` and `name` where it begins."""
    function = {"arguments": arguments}
    told: dict[str, Any] = {} if index is None else {"index": index}
    if "name" in named:
        told |= {"id": named["id"], "type": "function"} if "id" in named else {}
        function = {"name": named["name"], **function}
    return {"tool_calls": [{**told, "function": function}]}


def event(kind: str, **members: Any) -> bytes:
    """Return an event of Anthropic's."""
    told = json.dumps({"type": kind, **members}, ensure_ascii=False)
    return f"event: {kind}\ndata: {told}\n\n".encode()


def think_text(text: str) -> list[bytes]:
    """Return chunks of `text`, a character each."""
    return [chunk({"content": sign}) for sign in text]


def played(
    client: Any, transformers: Sequence[Any], pieces: Sequence[bytes], **attempt: Any
) -> Play:
    """Play a stream through a gateway whose upstream has these transformers."""
    told = {"transformers": chain("openai", transformers), **attempt}
    play = Play(request_of(client), attempt=told)
    play.stream(*pieces, end="complete")
    return play
