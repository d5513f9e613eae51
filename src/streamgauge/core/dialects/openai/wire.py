"""OpenAI chat and completions frames as typed structs, and the loose way into the same structs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import msgspec

from streamgauge.core.dialects.loose import LooseObject, dump

__all__ = [
    "Call",
    "Choice",
    "Chunk",
    "Custom",
    "Delta",
    "Function",
    "LooseChunk",
    "PlainChunk",
    "decode_chunk",
    "decode_plain",
    "loose_chunk",
]


class Function(msgspec.Struct, gc=False):
    """The function of a tool call, whole or a piece."""

    name: str | None = None
    arguments: str | None = None


class Custom(msgspec.Struct, gc=False):
    """The custom tool of a call, whole or a piece: its input is any text."""

    name: str | None = None
    input: str | None = None


class Call(msgspec.Struct, gc=False):
    """A tool call, whole or a piece. Some servers send no `index`."""

    index: int | None = None
    id: str | None = None
    function: Function | None = None
    custom: Custom | None = None


class Audio(msgspec.Struct, gc=False):
    """What of a spoken answer can be read. Its sound is not looked at."""

    transcript: str | None = None
    data: msgspec.Raw = msgspec.Raw()


class Delta(msgspec.Struct, gc=False):
    """What a choice adds; in an answer that is no stream, its whole message.

    `images`: OpenRouter's.
    """

    role: str | None = None
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None
    tool_calls: list[Call] | None = None
    function_call: Function | None = None
    audio: Audio | None = None
    reasoning_details: msgspec.Raw = msgspec.Raw()
    images: msgspec.Raw = msgspec.Raw()

    @property
    def shows(self) -> bool:
        """Whether it has a picture or a sound."""
        sound = b"" if self.audio is None else bytes(self.audio.data)
        pictures = bytes(self.images)
        heard = sound[:1] == b'"' and sound != b'""'
        return heard or (pictures[:1] == b"[" and pictures[1:].lstrip()[:1] != b"]")


class Choice(msgspec.Struct, gc=False):
    """One choice of a frame or of an answer. `text` is the completions endpoint's.

    `stop_reason`: vLLM's, the text or the token that stopped it.
    """

    index: int | None = None
    delta: Delta | None = None
    message: Delta | None = None
    text: str | None = None
    finish_reason: str | None = None
    error: msgspec.Raw = msgspec.Raw()
    stop_reason: msgspec.Raw = msgspec.Raw()


class Chunk(msgspec.Struct, gc=False):
    """One frame or answer. Raw members are read only when they are stated."""

    model: str | None = None
    choices: list[Choice] | msgspec.UnsetType | None = msgspec.UNSET
    usage: msgspec.Raw = msgspec.Raw()
    timings: msgspec.Raw = msgspec.Raw()
    error: msgspec.Raw = msgspec.Raw()
    x_groq: msgspec.Raw = msgspec.Raw()
    service_tier: str | None = None


class _PlainDetail(msgspec.Struct, gc=False):
    signature: None = None
    data: None = None


class _PlainDelta(msgspec.Struct, gc=False):
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    role: str | None = None
    refusal: None = None
    tool_calls: None = None
    function_call: None = None
    reasoning_details: list[_PlainDetail] | None = None


class _PlainChoice(msgspec.Struct, gc=False):
    delta: _PlainDelta
    index: Annotated[int, msgspec.Meta(ge=0)] | None = None
    message: None = None
    text: None = None
    finish_reason: None = None
    error: None = None


class PlainChunk(msgspec.Struct, gc=False):
    """A frame of one choice that says nothing but text or reasoning.

    Every member that could say more is null or absent, which the decoder checks as it reads:
    measured, that is half the cost of asking the members of a `Chunk` afterwards.
    """

    choices: tuple[_PlainChoice]
    model: str | None = None
    usage: None = None
    timings: None = None
    error: None = None
    x_groq: None = None
    service_tier: str | None = None


decode_chunk = msgspec.json.Decoder(Chunk).decode
decode_plain = msgspec.json.Decoder(PlainChunk).decode
"""Raises as `decode_chunk` does, also where the frame says more than a `PlainChunk` can."""


@dataclass(slots=True)
class LooseChunk:
    """A frame that typed decoding refused. `odd`: some member had a type of no known server."""

    model: str | None
    choices: list[Choice]
    errors: list[Any]
    empty: bool
    service_tier: str | None
    odd: bool


def loose_chunk(members: dict[str, Any]) -> LooseChunk:
    """Return what can be read of a frame, member by member."""
    chunk = LooseObject(members)
    parts = chunk.objects("choices")
    odd_parts = False
    choices = []
    for position, part in enumerate(parts):
        choices.append(_choice(part, position))
        odd_parts = odd_parts or part.odd
    model, tier = chunk.text("model"), chunk.text("service_tier")
    errors = [part.value("error") for part in parts]
    return LooseChunk(
        model, choices, errors, members.get("choices") == [], tier, chunk.odd or odd_parts
    )


def _choice(part: LooseObject, position: int) -> Choice:
    index = part.integer("index")
    choice = Choice(
        index=position if index is None else index,
        delta=_delta(part, "delta"),
        message=_delta(part, "message"),
        text=part.text("text"),
        finish_reason=part.text("finish_reason"),
    )
    if isinstance(stop := part.value("stop_reason"), str):
        choice.stop_reason = _raw(stop)
    return choice


def _delta(part: LooseObject, key: str) -> Delta | None:
    delta = part.object(key)
    if delta is None:
        return None
    content, thinking = _content(delta)
    read = Delta(
        role=delta.text("role"),
        content=content,
        reasoning_content=delta.text("reasoning_content") or thinking,
        reasoning=delta.text("reasoning"),
        refusal=delta.text("refusal"),
        tool_calls=[_call(call, delta) for call in delta.objects("tool_calls")],
        function_call=_function(delta, "function_call"),
        audio=_audio(delta),
    )
    if isinstance(details := delta.value("reasoning_details"), list):
        read.reasoning_details = _raw(details)
    if isinstance(images := delta.value("images"), list):
        read.images = _raw(images)
    part.odd = part.odd or delta.odd
    return read


def _audio(delta: LooseObject) -> Audio | None:
    audio = delta.object("audio")
    if audio is None:
        return None
    sound = audio.value("data")
    return Audio(audio.text("transcript"), _raw(sound) if isinstance(sound, str) else msgspec.Raw())


def _raw(value: Any) -> msgspec.Raw:
    return msgspec.Raw(dump(value).encode())


def _content(delta: LooseObject) -> tuple[str | None, str | None]:
    """Return text and thinking: `content` is a string, or at some servers a list of typed parts."""
    if not isinstance(delta.value("content"), list):
        return delta.text("content"), None
    text, thinking = "", ""
    for part in delta.objects("content"):
        if part.value("type") == "thinking":
            inner = part.value("thinking")
            nested = part.objects("thinking") if isinstance(inner, list) else [part]
            thinking += "".join(n.text("text") or n.text("thinking") or "" for n in nested)
        else:
            text += part.text("text") or ""
    return text, thinking or None


def _call(call: LooseObject, owner: LooseObject) -> Call:
    read = Call(call.integer("index"), call.text("id"), _function(call, "function"), _custom(call))
    owner.odd = owner.odd or call.odd
    return read


def _custom(call: LooseObject) -> Custom | None:
    custom = call.object("custom")
    if custom is None:
        return None
    read = Custom(custom.text("name"), custom.text("input"))
    call.odd = call.odd or custom.odd
    return read


def _function(part: LooseObject, key: str) -> Function | None:
    function = part.object(key)
    if function is None:
        return None
    arguments = function.value("arguments")
    if isinstance(arguments, dict | list):  # whole, as an object: the same JSON as text
        text: str | None = dump(arguments)
    else:
        text = function.text("arguments")
    read = Function(function.text("name"), text)
    part.odd = part.odd or function.odd
    return read
