"""Ollama's own chat as Ollama words it (WIRE.md §7.1): lines of JSON. It knows no fault."""

from __future__ import annotations

from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from streamgauge.core.usage import TokenUsage
from streamgauge.tools.simulator.counts import ollama_counts, stated_ollama
from streamgauge.tools.simulator.plan import Call, Plan
from streamgauge.tools.simulator.script import Frame, Kind

__all__ = ["NATIVE", "NativeAnswer", "error_line", "line", "native_refusal"]

NATIVE = "api/chat"
"""The endpoint whose answers are lines, streamed unless the request says otherwise."""
_NOT_A = "json: cannot unmarshal {} into Go struct field {} of type {}"


def line(value: dict[str, Any]) -> bytes:
    """Return `value` as one line of JSON."""
    return msgspec.json.encode(value) + b"\n"


def error_line(message: str) -> bytes:
    """Return what stands in a stream where it fails; an error body is the same without its LF."""
    return line({"error": message})


class NativeAnswer:
    """One answer on `/api/chat`. There is no opening line, and the last one says how it ended."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._counts = {} if plan.no_usage else ollama_counts(plan)
        self._sent = 0

    def frames(self) -> Iterator[Frame]:
        """Yield the stream's lines: thinking, text, each call whole, and the end."""
        for piece in self._plan.reasoning:
            yield self._content(1, thinking=piece)
        for piece in self._plan.text:
            yield self._content(1, content=piece)
        for call in self._plan.calls:
            yield self._content(len(call.pieces), tool_calls=[_call(call)])
        yield Frame(line(self._done({})), Kind.MARK, usage=self._stated())

    def body(self) -> tuple[bytes, TokenUsage | None]:
        """Return the non-stream answer and the counts it states."""
        plan = self._plan
        message: dict[str, Any] = {"content": "".join(plan.text)}
        if plan.reasoning:
            message["thinking"] = "".join(plan.reasoning)
        if plan.calls:
            message["tool_calls"] = [_call(call) for call in plan.calls]
        return msgspec.json.encode(self._done(message)), self._stated()

    def _stated(self) -> TokenUsage | None:
        return None if self._plan.no_usage else stated_ollama(self._counts)

    def _content(self, tokens: int, **message: object) -> Frame:
        said = self._head(message) | {"done": False}
        return Frame(line(said), Kind.CONTENT, tokens)

    def _done(self, message: dict[str, Any]) -> dict[str, Any]:
        reason = "length" if self._plan.cut_short else "stop"
        return self._head(message) | {"done": True, "done_reason": reason} | self._counts

    def _head(self, message: dict[str, Any]) -> dict[str, Any]:
        """Return what every line begins with; each has its own time, to the nanosecond."""
        began = datetime.fromtimestamp(self._plan.created, UTC) + timedelta(milliseconds=self._sent)
        self._sent += 1
        nanoseconds = int.from_bytes(self._plan.call.encode()[-3:]) % 1_000_000
        stamp = f"{began:%Y-%m-%dT%H:%M:%S}.{began.microsecond // 1000:03d}{nanoseconds:06d}Z"
        said = {"role": "assistant", "content": "", **message}
        return {"model": self._plan.model, "created_at": stamp, "message": said}


def _call(call: Call) -> dict[str, Any]:
    """Return a call without an id; argument text that is no JSON stays text, as it was asked for."""
    try:
        arguments = msgspec.json.decode(call.arguments)
    except msgspec.DecodeError:
        arguments = call.arguments
    return {"function": {"name": call.name, "arguments": arguments}}


def native_refusal(body: dict[str, Any]) -> str | None:
    """Return what the server says to a body whose types it cannot read, None where it can."""
    messages = body.get("messages")
    for message in messages if isinstance(messages, list) else ():
        if isinstance(message, dict) and (said := _message_refusal(message)) is not None:
            return said
    return None


def _message_refusal(message: dict[str, Any]) -> str | None:
    field = "ChatRequest.messages."
    content = message.get("content")
    if content is not None and not isinstance(content, str):
        return _NOT_A.format("array", field + "content", "string")
    for call in message.get("tool_calls") or ():
        function = call.get("function") if isinstance(call, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("arguments"), dict):
            name = field + "tool_calls.function.arguments"
            return _NOT_A.format("string", name, "api.ToolCallFunctionArguments")
    for image in message.get("images") or ():
        try:
            b64decode(image, validate=True)
        except (Base64Error, ValueError, TypeError):
            return "illegal base64 data at input byte 4"
    return None
