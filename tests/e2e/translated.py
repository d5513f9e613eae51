"""Upstreams of a translation by script, and what its clients ask and read. No test here."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from ..faults.upstream import Script, scripted
from .stand import Answer, Stand, frames_of, stand

__all__ = [
    "DONE",
    "FINISH",
    "LAST",
    "NAMED",
    "PATHS",
    "ROLE",
    "UNMARKED",
    "USAGE",
    "arguments",
    "asked",
    "behind",
    "chunk",
    "payloads",
]

CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"
PATHS = {
    "openai": CHAT,
    "anthropic": MESSAGES,
    "simple": f"{CHAT}?protocol=simple",
    "frames": f"{CHAT}?protocol=frames",
}


def chunk(delta: dict[str, Any], finish: str | None = None, **more: Any) -> bytes:
    """Return a chat completion chunk as a frame."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    told = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return b"data: " + json.dumps({**told, "choices": [choice], **more}).encode() + b"\n\n"


def event(kind: str, **fields: Any) -> bytes:
    """Return an Anthropic event as a frame."""
    told = json.dumps({"type": kind, **fields}).encode()
    return b"event: " + kind.encode() + b"\ndata: " + told + b"\n\n"


def arguments(piece: str) -> bytes:
    """Return a chunk with one piece of a call's arguments."""
    return chunk({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]})


ROLE = chunk({"role": "assistant", "content": ""})
NAMED = chunk(
    {
        "tool_calls": [
            {"index": 0, "id": "c1", "type": "function", "function": {"name": "f", "arguments": ""}}
        ]
    }
)
FINISH = chunk({}, "stop")
USAGE = (
    b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[],'
    b'"usage":{"prompt_tokens":7,"completion_tokens":3,"total_tokens":10}}\n\n'
)
DONE = b"data: [DONE]\n\n"
LAST = b"0\r\n\r\n"
START = event(
    "message_start",
    message={
        "id": "m",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {"input_tokens": 7, "output_tokens": 1},
    },
)
BLOCK = event("content_block_start", index=0, content_block={"type": "text", "text": ""})
TEXT = event("content_block_delta", index=0, delta={"type": "text_delta", "text": "Hallo."})
BLOCK_STOP = event("content_block_stop", index=0)
STOPPED = event(
    "message_delta",
    delta={"stop_reason": "end_turn", "stop_sequence": None},
    usage={"output_tokens": 3},
)
UNMARKED: dict[str, tuple[bytes, ...]] = {
    "openai": (ROLE, chunk({"content": "Hallo."}), FINISH, USAGE),
    "anthropic": (START, BLOCK, TEXT, BLOCK_STOP, STOPPED),
}


@contextlib.asynccontextmanager
async def behind(folder: Path, kind: str, script: Script, **keys: Any) -> AsyncIterator[Stand]:
    """Run a gateway in front of an upstream that plays `script` to each call."""
    async with scripted(lambda _: script) as upstream:
        up = {"name": "up", "kind": kind, "base_url": upstream.url, **keys}
        async with stand(folder, config={"upstreams": [up]}) as it:
            yield it


def asked(client: str, **more: Any) -> dict[str, Any]:
    """Return a streaming request."""
    messages = [{"role": "user", "content": "hi"}]
    body = {"model": "m", "max_tokens": 90, "stream": True, "messages": messages, **more}
    return body if client == "anthropic" else body | {"stream_options": {"include_usage": True}}


def payloads(client: str, answer: Answer) -> list[Any]:
    """Return the JSON of each frame or line."""
    found = answer.body.splitlines() if client == "simple" else frames_of(answer.body)
    return [json.loads(p) for p in found if p.startswith(b"{")]
