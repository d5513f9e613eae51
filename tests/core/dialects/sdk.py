"""The official SDKs as oracles: what they make of bytes that a gateway sends, over no socket."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import anthropic
import httpx2
import openai
from openai.lib.streaming.chat import ChatCompletionStreamState

__all__ = [
    "Told",
    "anthropic_client",
    "chunks",
    "message",
    "openai_client",
    "told_by_anthropic",
    "told_by_openai",
]

_STREAM = "text/event-stream"


def _transport(stream: bytes, kind: str) -> httpx2.MockTransport:
    headers = {"content-type": kind}
    return httpx2.MockTransport(lambda _: httpx2.Response(200, headers=headers, content=stream))


def openai_client(stream: bytes, kind: str = _STREAM) -> openai.OpenAI:
    """Return a client to which each request is answered with `stream`."""
    http = httpx2.Client(transport=_transport(stream, kind))
    return openai.OpenAI(api_key="x", base_url="http://sg/v1", http_client=http, max_retries=0)


def anthropic_client(stream: bytes, kind: str = _STREAM) -> anthropic.Anthropic:
    """Return a client to which each request is answered with `stream`."""
    http = httpx2.Client(transport=_transport(stream, kind))
    return anthropic.Anthropic(api_key="x", base_url="http://sg", http_client=http, max_retries=0)


def chunks(stream: bytes) -> list[Any]:
    """Return the chunks that openai-python reads."""
    return list(openai_client(stream).chat.completions.create(model="m", messages=[], stream=True))


def message(stream: bytes) -> Any:
    """Return the message that anthropic-python assembles."""
    with anthropic_client(stream).messages.stream(model="m", max_tokens=9, messages=[]) as events:
        return events.get_final_message()


@dataclass(frozen=True)
class Told:
    """What a client understood, in words of no dialect. `calls`: id, name and parsed arguments."""

    text: str = ""
    reasoning: str = ""
    calls: tuple[tuple[str, str, Any], ...] = ()
    finish: str | None = None
    tokens: tuple[int | None, int | None, int | None] = (None, None, None)
    refusal: str = ""
    signatures: tuple[str, ...] = ()


def told_by_openai(body: bytes) -> Told:
    """Return what openai-python makes of a stream or of a whole answer, by its own accumulator."""
    if body.startswith(b"{"):
        client = openai_client(body, "application/json")
        return _of_completion(client.chat.completions.create(model="m", messages=[]))
    state: Any = ChatCompletionStreamState()
    for chunk in chunks(body):
        state.handle_chunk(chunk)
    return _of_completion(state.current_completion_snapshot)


def _of_completion(completion: Any) -> Told:
    choice, usage = completion.choices[0], completion.usage
    details = None if usage is None else usage.prompt_tokens_details
    cached = None if details is None else details.cached_tokens
    calls = choice.message.tool_calls or ()
    said = choice.message.model_dump()
    return Told(
        choice.message.content or "",
        said.get("reasoning_content") or "",
        tuple((c.id, c.function.name, _parsed(c.function.arguments)) for c in calls),
        choice.finish_reason,
        (None,) * 3 if usage is None else (usage.prompt_tokens, usage.completion_tokens, cached),
        choice.message.refusal or "",
        tuple(d["signature"] for d in said.get("reasoning_details") or () if "signature" in d),
    )


def _parsed(arguments: str) -> Any:
    try:
        return json.loads(arguments)
    except ValueError:
        return arguments


_FINISH = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}


def told_by_anthropic(body: bytes) -> Told:
    """Return what anthropic-python makes of a stream or of a whole answer, in the same words."""
    if body.startswith(b"{"):
        client = anthropic_client(body, "application/json")
        read: Any = client.messages.create(model="m", max_tokens=9, messages=[])
    else:
        read = message(body)
    blocks, usage = read.content, read.usage
    thoughts = [b for b in blocks if b.type == "thinking"]
    cached = usage.cache_read_input_tokens or 0
    written = usage.cache_creation_input_tokens or 0
    return Told(
        "".join(b.text for b in blocks if b.type == "text"),
        "".join(b.thinking for b in thoughts),
        tuple((b.id, b.name, b.input) for b in blocks if b.type == "tool_use"),
        _FINISH.get(read.stop_reason, read.stop_reason),
        (usage.input_tokens + cached + written, usage.output_tokens, cached),
        "",
        tuple(b.signature for b in thoughts if b.signature),
    )
