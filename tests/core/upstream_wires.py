"""What upstreams of each dialect say, frame by frame, and what a client makes of an answer."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from streamgauge.core.assembly import Assembly
from streamgauge.core.conversation import Text, Thought, ToolUse
from streamgauge.core.dialects.anthropic.decode import MessagesDecoder
from streamgauge.core.dialects.openai.decode import ChatDecoder
from streamgauge.core.events import Ended, Event, Failed
from streamgauge.core.meter import Meter
from streamgauge.core.sse import FrameSplitter

from .playbook import DONE, FINISH, ROLE, SSE, USAGE, chunk, text

__all__ = ["CLIENTS", "PAIRS", "UPSTREAMS", "Heard", "Wire", "event", "heard", "line"]


def event(kind: str, **members: Any) -> bytes:
    """Return an Anthropic event as a frame."""
    told = json.dumps({"type": kind, **members}).encode()
    return b"event: " + kind.encode() + b"\ndata: " + told + b"\n\n"


def line(*, done: bool = False, **members: Any) -> bytes:
    """Return a line of Ollama's; keywords of `message` stand for the message's own."""
    return json.dumps({"model": "m", "created_at": "t", "done": done, **members}).encode() + b"\n"


def _delta(**delta: Any) -> bytes:
    return chunk(choices=[{"index": 0, "delta": delta}])


def _block(index: int, start: dict[str, Any], *deltas: dict[str, Any]) -> tuple[bytes, ...]:
    return (
        event("content_block_start", index=index, content_block=start),
        *(event("content_block_delta", index=index, delta=delta) for delta in deltas),
        event("content_block_stop", index=index),
    )


def _said(**message: Any) -> bytes:
    return line(message={"role": "assistant", "content": "", **message})


_CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": ""}}


def _arguments(piece: str) -> bytes:
    return _delta(tool_calls=[{"index": 0, "function": {"arguments": piece}}])


@dataclass(frozen=True)
class Wire:
    """One dialect's frames: `text` says ab, `thought` hm, `call` f({"x": 1}).

    `finish` and `usage` are empty where `end` says them too; `whole` says ab as one document.
    """

    media: str
    start: bytes
    text: Sequence[bytes]
    thought: Sequence[bytes]
    call: Sequence[bytes]
    finish: Mapping[str, bytes]
    usage: bytes
    end: Mapping[str, bytes]
    bare_end: bytes
    error: bytes
    alive: bytes
    whole: dict[str, Any] = field(default_factory=dict)

    def stream(self, kind: str = "text") -> tuple[bytes, ...]:
        """Return a whole stream that says what `kind` names."""
        reason = "tool_calls" if kind == "call" else "stop"
        said = (self.start, *getattr(self, kind), self.finish[reason], self.usage)
        return tuple(frame for frame in (*said, self.end[reason]) if frame)


def _stop(reason: str) -> bytes:
    delta = {"stop_reason": reason, "stop_sequence": None}
    return event("message_delta", delta=delta, usage={"output_tokens": 4})


def _last(reason: str) -> bytes:
    counts = {"prompt_eval_count": 9, "eval_count": 4}
    message = {"role": "assistant", "content": ""}
    return line(done=True, message=message, done_reason=reason, **counts)


UPSTREAMS: Mapping[str, Wire] = {
    "openai": Wire(
        media=SSE,
        start=ROLE,
        text=(text("a"), text("b")),
        thought=(_delta(reasoning_content="h"), _delta(reasoning_content="m")),
        call=(_delta(tool_calls=[{"index": 0, **_CALL}]), _arguments('{"x"'), _arguments(": 1}")),
        finish={
            "stop": FINISH,
            "tool_calls": chunk(choices=[{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]),
        },
        usage=USAGE,
        end={"stop": DONE, "tool_calls": DONE},
        bare_end=DONE,
        error=chunk(error={"message": "broke", "code": 503}),
        alive=b": thinking\n\n",
        whole={
            "id": "c",
            "model": "m",
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": "ab"},
                    "finish_reason": "stop",
                }
            ],
            "usage": {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13},
        },
    ),
    "anthropic": Wire(
        media=SSE,
        start=event(
            "message_start",
            message={
                "id": "m",
                "type": "message",
                "role": "assistant",
                "model": "m",
                "content": [],
                "usage": {"input_tokens": 9, "output_tokens": 1},
            },
        ),
        text=_block(
            0,
            {"type": "text", "text": ""},
            {"type": "text_delta", "text": "a"},
            {"type": "text_delta", "text": "b"},
        ),
        thought=_block(
            0,
            {"type": "thinking", "thinking": "", "signature": ""},
            {"type": "thinking_delta", "thinking": "h"},
            {"type": "thinking_delta", "thinking": "m"},
        ),
        call=_block(
            0,
            {"type": "tool_use", "id": "c1", "name": "f", "input": {}},
            {"type": "input_json_delta", "partial_json": '{"x"'},
            {"type": "input_json_delta", "partial_json": ": 1}"},
        ),
        finish={"stop": _stop("end_turn"), "tool_calls": _stop("tool_use")},
        usage=b"",
        end=dict.fromkeys(("stop", "tool_calls"), event("message_stop")),
        bare_end=event("message_stop"),
        error=event("error", error={"type": "api_error", "message": "broke"}),
        alive=event("ping"),
        whole={
            "id": "m",
            "type": "message",
            "role": "assistant",
            "model": "m",
            "content": [{"type": "text", "text": "ab"}],
            "stop_reason": "end_turn",
            "stop_sequence": None,
            "usage": {"input_tokens": 9, "output_tokens": 4},
        },
    ),
    "ollama": Wire(
        media="application/x-ndjson",
        start=_said(),
        text=(_said(content="a"), _said(content="b")),
        thought=(_said(thinking="h"), _said(thinking="m")),
        call=(_said(tool_calls=[{"id": "c1", "function": {"name": "f", "arguments": {"x": 1}}}]),),
        finish={"stop": b"", "tool_calls": b""},
        usage=b"",
        end={"stop": _last("stop"), "tool_calls": _last("stop")},
        bare_end=line(done=True),
        error=b'{"error":"broke"}\n',
        alive=b"\n",
        whole={
            "model": "m",
            "created_at": "t",
            "message": {"role": "assistant", "content": "ab"},
            "done": True,
            "done_reason": "stop",
            "prompt_eval_count": 9,
            "eval_count": 4,
        },
    ),
}
CLIENTS = ("openai", "anthropic", "simple", "frames")
PAIRS = tuple((client, upstream) for client in CLIENTS for upstream in UPSTREAMS)


@dataclass
class Heard:
    """What a client understood. `usage`: input and output. `error`: its message. `ended`: cleanly."""

    text: str = ""
    thought: str = ""
    calls: list[tuple[str, Any]] = field(default_factory=list)
    finish: str | None = None
    usage: tuple[int | None, int | None] | None = None
    error: str | None = None
    ended: bool = False


def heard(client: str, body: bytes) -> Heard:
    """Return what `client` understands of a stream: its own protocol, read by its own rules."""
    if client in ("simple", "frames"):
        return _heard_plainly(client, body)
    decoder = ChatDecoder() if client == "openai" else MessagesDecoder()
    frames = [f for f in FrameSplitter().feed(body) if f.payload]
    return _understood([e for f in frames for e in decoder.decode(f.payload or b"", f.event)])


def _understood(events: Sequence[Event]) -> Heard:
    told, assembly, meter = Heard(), Assembly(), Meter(0.0)
    assembly.add(events)
    meter.observe(events, 0.0)
    for block in assembly.message.blocks:
        match block:
            case Text():
                told.text += block.text
            case Thought():
                told.thought += block.text
            case ToolUse():
                told.calls.append((block.name, json.loads(block.arguments)))
            case _:
                raise AssertionError(block)
    told.finish = assembly.message.finish
    booked = meter.booked()
    if booked.usage_source == "provider":
        told.usage = (booked.usage.input, booked.usage.output)
    told.error = next((e.message for e in events if isinstance(e, Failed)), None)
    told.ended = any(isinstance(e, Ended) for e in events)
    return told


def _heard_plainly(client: str, body: bytes) -> Heard:
    told = Heard()
    calls: dict[int, list[str]] = {}
    mark = b"" if client == "simple" else b"data: "
    lines = [each[len(mark) :] for each in body.split(b"\n") if each.startswith(mark) and each]
    for item in map(json.loads, lines):
        said = item.get("tool_call", item)
        if item.get("done") is True or item.get("type") == "done":
            told.ended, told.finish = "error" not in item, item.get("finish_reason")
            told.error = item.get("error", {}).get("message")
            if "usage" in item:
                usage = item["usage"]
                told.usage = (usage.get("input_tokens"), usage.get("output_tokens"))
        elif item.get("type") == "reasoning" or "reasoning" in item:
            told.thought += item.get("reasoning", item.get("content"))
        elif "name" in said:
            calls[said["index"]] = [said["name"], ""]
        elif "arguments" in said:
            calls[said["index"]][1] += said["arguments"]
        elif "streamgauge" not in item:
            told.text += item.get("content", "")
    told.calls = [(name, json.loads(given)) for name, given in calls.values()]
    return told
