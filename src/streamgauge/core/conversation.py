"""A chat request in no dialect's words: what can be carried from any dialect to any other.

Readers make it from a client's body, writers make an upstream's body from it (SPEC §13.2, N + M).
What has no place here is named in `lost` by its reader; a writer names what its dialect cannot say.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = [
    "ChoiceMode",
    "Conversation",
    "Document",
    "Image",
    "Message",
    "Part",
    "Reasoning",
    "RedactedThought",
    "Refusal",
    "Role",
    "Sampling",
    "Text",
    "Thought",
    "Tool",
    "ToolChoice",
    "ToolResult",
    "ToolUse",
    "maker_of",
    "sealed_by",
]

Role = Literal["system", "user", "assistant"]
"""`system` in `messages` stands where it came, mid-conversation; leading ones are in `system`."""


ChoiceMode = Literal["auto", "any", "none", "tool"]


@dataclass(frozen=True, slots=True)
class Text:
    """Plain text. `cache`: the client's cache mark (`ephemeral`, with its ttl), kept as it came."""

    text: str
    cache: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Image:
    """An image: `data` in base64 with its `media_type`, or a `url`. `detail`: OpenAI's."""

    media_type: str | None = None
    data: str | None = field(default=None, repr=False)
    url: str | None = None
    detail: str | None = None
    cache: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Document:
    """A document: base64 `data` with its `media_type` (a PDF), plain `text`, or a `url`."""

    media_type: str | None = None
    data: str | None = field(default=None, repr=False)
    text: str | None = None
    url: str | None = None
    title: str | None = None
    cache: Mapping[str, Any] | None = None


_MAKER = "streamgauge:"
"""Begins a seal of a maker other than Anthropic; no seal of Anthropic's has a colon."""


def sealed_by(maker: str | None, seal: str) -> str:
    """Return a signature, or hidden reasoning, with who made it: opaque to every client.

    `maker`: what OpenRouter calls its `format`; with one that is not known, or of Anthropic's, the
    seal stays as it is.
    """
    if not maker or maker == "unknown" or ":" in maker or maker.startswith("anthropic"):
        return seal
    return f"{_MAKER}{maker}:{seal}"


def maker_of(seal: str) -> tuple[str | None, str]:
    """Return who made a seal, None where nobody said so, and the seal as its maker knows it."""
    if not seal.startswith(_MAKER):
        return None, seal
    maker, colon, own = seal[len(_MAKER) :].partition(":")
    return (maker, own) if maker and colon else (None, seal)


@dataclass(frozen=True, slots=True)
class Thought:
    """Reasoning that the assistant gave, with the signature that its maker wants to see again.

    A signature may say whose it is: `sealed_by`.
    """

    text: str
    signature: str | None = None


@dataclass(frozen=True, slots=True)
class RedactedThought:
    """Reasoning that only its maker can read; it may say who that is: `sealed_by`."""

    data: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """What the assistant said instead of an answer (OpenAI's `refusal`)."""

    text: str


@dataclass(frozen=True, slots=True)
class ToolUse:
    """A call the assistant made. `arguments`: JSON text as the model wrote it, `{}` for none."""

    id: str
    name: str
    arguments: str
    cache: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What a call gave, matched by `call_id`. `parts`: texts, images and documents, in order."""

    call_id: str
    parts: tuple[Text | Image | Document, ...]
    is_error: bool = False
    cache: Mapping[str, Any] | None = None


Part = Text | Image | Document | Thought | RedactedThought | Refusal | ToolUse | ToolResult


@dataclass(frozen=True, slots=True)
class Message:
    """One turn. A tool's results stand in a `user` message, before whatever the user says."""

    role: Role
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Tool:
    """A function the model may call; `schema`: JSON schema of its arguments, as it came."""

    name: str
    description: str | None = None
    schema: Mapping[str, Any] = field(default_factory=dict)
    strict: bool | None = None
    cache: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class ToolChoice:
    """`mode`: auto, any (some call must come), none, or tool (the one called `name`).

    `parallel`: whether several calls in one answer are welcome; None is not stated.
    """

    mode: ChoiceMode = "auto"
    name: str | None = None
    parallel: bool | None = None


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the answer is drawn; None is not stated. `max_tokens` includes reasoning."""

    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    stop: tuple[str, ...] = ()
    n: int = 1


@dataclass(frozen=True, slots=True)
class Reasoning:
    """How much the model should think. `enabled` None is not stated; `budget` in tokens.

    `effort`: minimal, low, medium, high, xhigh or max.
    """

    enabled: bool | None = None
    budget: int | None = None
    effort: str | None = None


@dataclass(frozen=True, slots=True)
class Conversation:
    """One request. `schema`: the JSON schema that the answer must fit; `{}` asks for any JSON.

    `user`: the caller's name for its user. `lost`: what the reader found and could not carry.
    """

    messages: tuple[Message, ...]
    system: tuple[Text, ...] = ()
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice | None = None
    sampling: Sampling = Sampling()
    reasoning: Reasoning = Reasoning()
    schema: Mapping[str, Any] | None = None
    schema_name: str | None = None
    user: str | None = None
    lost: tuple[str, ...] = ()
