"""Legal streams to break, and what they are made of."""

from __future__ import annotations

import hashlib
import json
from typing import Any

DONE = b"data: [DONE]\n\n"


def frame(value: Any, event: str = "") -> bytes:
    """Return one server-sent event."""
    text = value if isinstance(value, str) else json.dumps(value)
    return (f"event: {event}\n" if event else "").encode() + f"data: {text}\n\n".encode()


def line(**fields: Any) -> bytes:
    """Return one line of NDJSON."""
    return json.dumps(fields).encode() + b"\n"


def chunk(*choices: dict[str, Any], **more: Any) -> bytes:
    """Return one OpenAI chunk."""
    head = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return frame({**head, "choices": list(choices), **more})


def said(index: int = 0, finish: str | None = None, **delta: Any) -> dict[str, Any]:
    """Return one OpenAI choice."""
    return {"index": index, "delta": delta, "finish_reason": finish}


def call(index: int | None = 0, **more: Any) -> dict[str, Any]:
    """Return one fragment of an OpenAI call: `id`, `name`, `arguments`."""
    function = {key: more.pop(key) for key in ("name", "arguments") if key in more}
    head = {} if index is None else {"index": index}
    kind = {"type": "function"} if "id" in more else {}
    return {**head, **kind, **more, "function": function}


ROLE = chunk(said(role="assistant", content=""))
TEXT = chunk(said(content="a"))
STOP = chunk(said(finish="stop"))
USAGE = {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8}
CALL = chunk(said(tool_calls=[call(id="x", name="ls", arguments="")]))
ARGUMENTS = chunk(said(tool_calls=[call(arguments="{}")]))
CALLS = chunk(said(finish="tool_calls"))
FAILURE = frame({"error": {"message": "boom"}})
OPENAI = [ROLE, TEXT, STOP, chunk(usage=USAGE), DONE]
"""A plain answer."""
TOOLS = [ROLE, CALL, ARGUMENTS, CALLS, chunk(usage=USAGE), DONE]
"""An answer with a call."""


def event(type: str, name: str | None = None, **more: Any) -> bytes:
    """Return one Anthropic event."""
    return frame({"type": type, **more}, type if name is None else name)


def start(**more: Any) -> bytes:
    """Return a `message_start`."""
    message = {
        "id": "msg",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {"input_tokens": 1, "output_tokens": 0},
    }
    return event("message_start", message={**message, **more})


def block(index: Any, type: str, **more: Any) -> bytes:
    """Return a `content_block_start`."""
    return event("content_block_start", index=index, content_block={"type": type, **more})


def delta(index: Any, type: str, **more: Any) -> bytes:
    """Return a `content_block_delta`."""
    return event("content_block_delta", index=index, delta={"type": type, **more})


def stop(index: Any) -> bytes:
    """Return a `content_block_stop`."""
    return event("content_block_stop", index=index)


def ending(reason: Any = "end_turn", sequence: Any = None, **more: Any) -> bytes:
    """Return a `message_delta`."""
    told = {"stop_reason": reason, "stop_sequence": sequence}
    return event("message_delta", delta=told, **{"usage": {"output_tokens": 3}, **more})


PING = event("ping")
OVER = event("message_stop")
TEXT_BLOCK = [block(0, "text", text=""), delta(0, "text_delta", text="a"), stop(0)]
TOOL = {"id": "t", "name": "ls", "input": {}}
TOOL_BLOCK = [
    block(0, "tool_use", **TOOL),
    delta(0, "input_json_delta", partial_json='{"a":'),
    delta(0, "input_json_delta", partial_json="1}"),
    stop(0),
]
THOUGHT_BLOCK = [
    block(0, "thinking", thinking="", signature=""),
    delta(0, "thinking_delta", thinking="h"),
    delta(0, "signature_delta", signature="S"),
    stop(0),
]
ANTHROPIC = [start(), PING, *TEXT_BLOCK, ending(), OVER]
"""A plain answer."""

SIMPLE = [
    line(type="status", status="thinking"),
    line(type="reasoning", content="h"),
    line(type="delta", content="a"),
    line(type="tool_call", index=0, id="x", name="ls"),
    line(type="tool_call", index=0, arguments="{}"),
    line(type="metadata", streamgauge={}),
    line(type="done", finish_reason="stop"),
]


def stamped(*added: dict[str, Any], **last: Any) -> list[dict[str, Any]]:
    """Return frames of the `frames` protocol that add `added`, with right stamps, and the last one."""
    frames, whole, length = [], hashlib.sha1(), 0
    for seq, members in enumerate([*added, {"content": ""}], 1):
        text = "".join(
            (
                members.get("reasoning", ""),
                members["content"],
                members.get("tool_call", {}).get("arguments", ""),
            )
        )
        whole.update(text.encode() + b"\n")
        length += len(text)
        frames.append(
            {
                "done": False,
                "seq": seq,
                "stream_id": "s",
                "acc_len": length,
                "raw_len": length,
                "sha1": hashlib.sha1(text.encode()).hexdigest()[:12],
                **members,
            }
        )
    stamp = {"frames_out": len(frames), "stream_sha1": whole.hexdigest()}
    frames[-1] |= {"done": True, **stamp, **last}
    return frames


ADDED = (
    {"content": "é"},
    {"content": "", "reasoning": "hm"},
    {"content": "", "tool_call": {"index": 0, "id": "x", "name": "ls"}},
    {"content": "", "tool_call": {"index": 0, "arguments": "{}"}},
)


def framed(frames: list[dict[str, Any]]) -> list[bytes]:
    """Return frames as server-sent events."""
    return [frame(value) for value in frames]
