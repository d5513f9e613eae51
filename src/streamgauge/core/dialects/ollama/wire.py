"""Ollama's chat lines as typed structs, and the loose way into the same structs (WIRE §7.1)."""

from __future__ import annotations

from typing import Any

import msgspec

from streamgauge.core.dialects.loose import LooseObject, clean_text, dump

__all__ = ["Call", "Function", "Line", "Message", "arguments_text", "decode_line", "loose_line"]

_NULL = msgspec.Raw(b"null")


class Function(msgspec.Struct, gc=False):
    """The function of a whole call. `arguments` is an object on the wire, and kept as it stood."""

    name: str | None = None
    arguments: msgspec.Raw = msgspec.Raw()


class Call(msgspec.Struct, gc=False):
    """A tool call, always whole. Newer servers give it an id."""

    id: str | None = None
    function: Function | None = None


class Message(msgspec.Struct, gc=False):
    """What a line adds; in an answer that is no stream, the whole message."""

    role: str | None = None
    content: str | None = None
    thinking: str | None = None
    tool_calls: list[Call] | None = None


class Line(msgspec.Struct, gc=False):
    """One line or answer. Durations in nanoseconds; what is 0 is left out by the server."""

    model: str | None = None
    created_at: str | None = None
    message: Message | None = None
    done: bool | None = None
    done_reason: str | None = None
    prompt_eval_count: Any = None
    eval_count: Any = None
    prompt_eval_duration: Any = None
    eval_duration: Any = None
    error: Any = None


_decoder = msgspec.json.Decoder(Line)


def decode_line(payload: bytes) -> Line:
    """Return the line that `payload` is. Raises msgspec's errors where a member is of another type."""
    return _decoder.decode(payload)


def loose_line(members: dict[str, Any]) -> tuple[Line, bool]:
    """Return what can be read of a line member by member, and whether a type was odd."""
    line = LooseObject(members)
    message = line.object("message")
    done = line.value("done")
    odd_done = done is not None and not isinstance(done, bool)
    read = Line(
        model=line.text("model"),
        created_at=line.text("created_at"),
        message=None if message is None else _message(message),
        done=done if isinstance(done, bool) else None,
        done_reason=line.text("done_reason"),
        prompt_eval_count=line.value("prompt_eval_count"),
        eval_count=line.value("eval_count"),
        prompt_eval_duration=line.value("prompt_eval_duration"),
        eval_duration=line.value("eval_duration"),
        error=line.value("error"),
    )
    return read, odd_done or line.odd or (message is not None and message.odd)


def _message(message: LooseObject) -> Message:
    return Message(
        role=message.text("role"),
        content=message.text("content"),
        thinking=message.text("thinking"),
        tool_calls=[_call(call, message) for call in message.objects("tool_calls")],
    )


def _call(call: LooseObject, owner: LooseObject) -> Call:
    function = call.object("function")
    read = None
    if function is not None:
        given = function.value("arguments")
        raw = msgspec.Raw() if given is None else msgspec.Raw(dump(given).encode())
        read = Function(function.text("name"), raw)
        owner.odd = owner.odd or function.odd
    told = Call(call.text("id"), read)
    owner.odd = owner.odd or call.odd
    return told


def arguments_text(raw: msgspec.Raw) -> str:
    """Return the JSON text of a call's arguments; those that came as a string are that text."""
    if not raw or raw == _NULL:
        return ""
    data = bytes(raw)
    if data[:1] == b'"':
        return clean_text(msgspec.json.decode(data, type=str))
    return data.decode("utf-8", "replace")
