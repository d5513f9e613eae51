"""Anthropic messages as Anthropic words them, and as llama.cpp does (WIRE.md §4, §6.3, §6.5)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from streamgauge.core.usage import TokenUsage
from streamgauge.tools.simulator.counts import (
    anthropic_delta_usage,
    anthropic_start_usage,
    stated_anthropic,
)
from streamgauge.tools.simulator.flavours import Flavour
from streamgauge.tools.simulator.plan import Call, Plan
from streamgauge.tools.simulator.script import Frame, Kind

__all__ = ["PING", "MessageAnswer", "event_frame"]

_STOP_REASONS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"}
_UNSIGNED = frozenset({Flavour.LLAMACPP, Flavour.OLLAMA})
"""Servers that have no signature for their thinking."""


def event_frame(event: dict[str, Any]) -> bytes:
    """Return `event` as an SSE frame named by its own type."""
    name: str = event["type"]
    return b"event: " + name.encode() + b"\ndata: " + msgspec.json.encode(event) + b"\n\n"


PING = Frame(event_frame({"type": "ping"}), Kind.PING)


class MessageAnswer:
    """One answer on `/v1/messages`. Blocks come one after another: thinking, text, tools."""

    def __init__(self, flavour: Flavour, plan: Plan) -> None:
        self._flavour = flavour
        self._plan = plan
        self._llamacpp = flavour is Flavour.LLAMACPP
        self._signature = "" if flavour in _UNSIGNED else plan.signature
        self._start_usage = {} if plan.no_usage else anthropic_start_usage(flavour, plan)
        self._delta_usage = {} if plan.no_usage else anthropic_delta_usage(flavour, plan)

    def frames(self) -> Iterator[Frame]:
        """Yield the stream's frames by the grammar of WIRE.md §4.4, `message_stop` included."""
        message = self._message([], None)
        if self._start_usage:
            message["usage"] = self._start_usage
        start = event_frame({"type": "message_start", "message": message})
        stated = None if self._plan.no_usage else stated_anthropic(self._start_usage, {})
        yield Frame(start, Kind.START, usage=stated)
        if not self._llamacpp:
            yield PING
        yield from self._blocks()
        delta = {"stop_reason": self._stop_reason, "stop_sequence": None}
        last: dict[str, Any] = {"type": "message_delta", "delta": delta}
        if self._delta_usage:
            last["usage"] = self._delta_usage
        yield Frame(event_frame(last), Kind.FINISH, usage=self._stated())
        yield Frame(event_frame({"type": "message_stop"}), Kind.MARK)

    def body(self) -> tuple[bytes, TokenUsage | None]:
        """Return the non-stream answer and the counts it states."""
        plan = self._plan
        content: list[dict[str, Any]] = []
        if plan.reasoning:
            content.append(self._thinking("".join(plan.reasoning), self._signature))
        if plan.redacted and self._flavour not in _UNSIGNED:
            content.append({"type": "redacted_thinking", "data": plan.redacted})
        if plan.text:
            content.append({"type": "text", "text": "".join(plan.text)})
        for call in plan.calls:
            content.append(_tool(call) | {"input": _input(call)})
        message = self._message(content, self._stop_reason)
        if not plan.no_usage:
            message["usage"] = self._start_usage | self._delta_usage
        return msgspec.json.encode(message), self._stated()

    @property
    def _stop_reason(self) -> str:
        return _STOP_REASONS[self._plan.finish]

    def _stated(self) -> TokenUsage | None:
        if self._plan.no_usage:
            return None
        return stated_anthropic(self._start_usage, self._delta_usage)

    def _message(self, content: list[dict[str, Any]], stop: str | None) -> dict[str, Any]:
        prefix = "chatcmpl-" if self._llamacpp else "msg_"
        return {
            "id": f"{prefix}{self._plan.call}",
            "type": "message",
            "role": "assistant",
            "content": content,
            "model": self._plan.model,
            "stop_reason": stop,
            "stop_sequence": None,
        }

    def _blocks(self) -> Iterator[Frame]:
        plan = self._plan
        blocks: list[Iterator[Frame]] = []
        if plan.reasoning:
            blocks.append(self._thinking_block(0))
        if plan.redacted and self._flavour not in _UNSIGNED:
            hidden = {"type": "redacted_thinking", "data": plan.redacted}
            blocks.append(_block(len(blocks), hidden, "", "", ()))
        if plan.text:
            start = {"type": "text", "text": ""}
            blocks.append(_block(len(blocks), start, "text_delta", "text", plan.text))
        for call in plan.calls:
            start = _tool(call) if self._llamacpp else _tool(call) | {"input": {}}
            pieces = call.pieces
            blocks.append(_block(len(blocks), start, "input_json_delta", "partial_json", pieces))
        stops: list[Frame] = []
        for index, block in enumerate(blocks):
            yield from block
            stops.append(_event(Kind.OTHER, "content_block_stop", index))
            if not self._llamacpp:
                yield stops.pop()
        yield from stops

    def _thinking_block(self, index: int) -> Iterator[Frame]:
        start = self._thinking("", "")
        yield from _block(index, start, "thinking_delta", "thinking", self._plan.reasoning)
        delta = {"type": "signature_delta", "signature": self._signature}
        yield _event(Kind.OTHER, "content_block_delta", index, delta=delta)

    def _thinking(self, text: str, signature: str) -> dict[str, Any]:
        block = {"type": "thinking", "thinking": text}
        return block if self._llamacpp and not text else block | {"signature": signature}


def _tool(call: Call) -> dict[str, Any]:
    return {"type": "tool_use", "id": call.id, "name": call.name}


def _input(call: Call) -> object:
    """Return the call's input; argument text that is no JSON stays text, as it was asked for."""
    try:
        return msgspec.json.decode(call.arguments)
    except msgspec.DecodeError:
        return call.arguments


def _event(kind: Kind, name: str, index: int, tokens: int = 0, **fields: object) -> Frame:
    return Frame(event_frame({"type": name, "index": index, **fields}), kind, tokens)


def _block(
    index: int, start: dict[str, Any], delta: str, key: str, pieces: Sequence[str]
) -> Iterator[Frame]:
    yield _event(Kind.OTHER, "content_block_start", index, content_block=start)
    for piece in pieces:
        fields = {"type": delta, key: piece}
        yield _event(Kind.CONTENT, "content_block_delta", index, 1, delta=fields)
