"""Turns a chat or completions answer that is no stream into the stream that says the same."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from streamgauge.core.dialects.failures import is_failure
from streamgauge.core.dialects.framing import json_frame
from streamgauge.core.dialects.loose import load

__all__ = ["DONE", "chat_stream", "completion_stream"]

DONE = b"data: [DONE]\n\n"
_HEAD = ("id", "created", "model", "system_fingerprint", "service_tier")
_TAIL = ("usage", "timings")
_TOLD = frozenset({"index", "message", "delta", "text", "logprobs", "finish_reason"})
"""Of a choice, what has its place in a chunk. The rest stands beside the finish: an error, say."""
_PIECES = (
    ("reasoning_content", "reasoning", "reasoning_details"),
    ("content", "audio"),
    ("images",),
    ("annotations",),
    ("refusal",),
    ("function_call",),
)
"""What says the same in several words is told in one piece: else it would be read more than once."""


def chat_stream(body: bytes) -> bytes | None:
    """Return a chat stream: role, content in pieces, finish, usage, `[DONE]`; None for no answer."""
    return _stream(body, "chat.completion.chunk", _chat_choice)


def completion_stream(body: bytes) -> bytes | None:
    """Return a completions stream in the same way."""
    return _stream(body, "text_completion", _text_choice)


def _stream(body: bytes, kind: str, pieces_of: Any) -> bytes | None:
    loaded = load(body)
    answer = None if loaded is None else loaded.value
    if not isinstance(answer, dict):
        return None
    if is_failure(answer.get("error")):
        return json_frame({"error": answer["error"]})
    choices = answer.get("choices")
    if not isinstance(choices, list) or not all(isinstance(c, dict) for c in choices):
        return None
    head = _head(answer, kind)
    frames = [
        json_frame({**head, "choices": [piece]})
        for position, choice in enumerate(choices)
        for piece in pieces_of(choice, _index(choice, position))
    ]
    tail = {key: answer[key] for key in _TAIL if answer.get(key) is not None}
    if tail:
        frames.append(json_frame({**head, "choices": [], **tail}))
    return b"".join((*frames, DONE))


def _index(choice: dict[str, Any], position: int) -> int:
    """Return the number of a choice. Without a usable one it is its place, as in a whole answer."""
    stated = choice.get("index")
    return stated if type(stated) is int and stated >= 0 else position


def _head(answer: dict[str, Any], kind: str) -> dict[str, Any]:
    """Return the members that every chunk repeats, those that clients insist on made up."""
    made_up = {"id": "chatcmpl-0", "created": 0, "model": ""}
    stated = {key: answer[key] for key in _HEAD if answer.get(key) is not None}
    return {**made_up, **stated, "object": kind}


def _piece(index: Any, delta: dict[str, Any], finish: Any = None) -> dict[str, Any]:
    return {"index": index, "delta": delta, "finish_reason": finish}


def _rest(choice: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in choice.items() if key not in _TOLD}


def _chat_choice(choice: dict[str, Any], index: Any) -> Iterator[dict[str, Any]]:
    message = choice.get("message")
    message = message if isinstance(message, dict) else {}
    yield _piece(index, {"role": message.get("role") or "assistant", "content": ""})
    for keys in _PIECES:
        if told := {key: message[key] for key in keys if message.get(key)}:
            piece = _piece(index, told)
            logprobs = choice.get("logprobs") if "content" in told else None
            yield piece if logprobs is None else {**piece, "logprobs": logprobs}
    calls = message.get("tool_calls")
    if isinstance(calls, list) and calls:
        whole = [{**c, "index": i} for i, c in enumerate(calls) if isinstance(c, dict)]
        yield _piece(index, {"tool_calls": whole})
    yield {**_piece(index, {}, choice.get("finish_reason")), **_rest(choice)}


def _text_choice(choice: dict[str, Any], index: Any) -> Iterator[dict[str, Any]]:
    text = choice.get("text")
    logprobs = choice.get("logprobs")
    if text:
        yield {"index": index, "text": text, "logprobs": logprobs, "finish_reason": None}
    finish = choice.get("finish_reason")
    yield {"index": index, "text": "", "logprobs": None, "finish_reason": finish, **_rest(choice)}
