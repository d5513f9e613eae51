"""The small chat requests that the doctor makes, in each dialect. It sends nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import msgspec

from streamgauge.config.upstream import Kind
from streamgauge.core.chat import UpstreamDialect
from streamgauge.core.dialects.codecs import UPSTREAMS

__all__ = [
    "LONG",
    "PAID",
    "SHORT",
    "SIMULATED",
    "Pace",
    "Wanted",
    "chat_body",
    "dialect_of",
    "is_simulated",
    "wants_newer_name",
]

PAID = frozenset({Kind.OPENAI, Kind.ANTHROPIC, Kind.OPENROUTER})
"""Kinds whose answers cost money: they are asked for one only with leave."""
SIMULATED = "sim"
"""The simulator's model: asked by this name, it is told its pace."""
_SPOKEN: Mapping[Kind, UpstreamDialect] = MappingProxyType(
    {Kind.ANTHROPIC: "anthropic", Kind.OLLAMA: "ollama"}
)
_PROMPT = "Count from 1 to 500, with a space between the numbers. Write nothing else."


@dataclass(frozen=True, slots=True)
class Pace:
    """What is asked of the simulator, which is quicker than anything can be measured. Milliseconds."""

    tokens: int = 12
    gap_ms: float = 40
    first_ms: float = 40


@dataclass(frozen=True, slots=True)
class Wanted:
    """How long an answer is to be. `pace`: for the simulator."""

    max_tokens: int
    pace: Pace


SHORT = Wanted(48, Pace())
"""Enough to see frames one after the other, and some hundredths of a cent at the dearest."""
LONG = Wanted(400, Pace(tokens=20, gap_ms=5000))
"""Left after its first words: it is to be running still when we go, and silent, where that can be
asked for. A proxy that does not look whether its client is there notices at its next write."""


def dialect_of(kind: Kind) -> UpstreamDialect:
    """Return what the gateway speaks with an upstream of `kind`."""
    return _SPOKEN.get(kind, "openai")


def chat_body(
    dialect: UpstreamDialect, model: str, wanted: Wanted, *, newer_name: bool = False
) -> tuple[str, bytes]:
    """Return path and body of a streamed chat request that asks for usage.

    `newer_name`: OpenAI's newer models refuse `max_tokens` under its old name.
    """
    fields: dict[str, Any] = {
        "model": model,
        "stream": True,
        "messages": [{"role": "user", "content": _PROMPT}],
    }
    if dialect == "ollama":
        fields["options"] = {"num_predict": wanted.max_tokens}
    else:
        fields["max_completion_tokens" if newer_name else "max_tokens"] = wanted.max_tokens
    if dialect == "openai":
        fields["stream_options"] = {"include_usage": True}
    if is_simulated(model):
        pace = wanted.pace
        fields["sim"] = {
            "tokens": pace.tokens,
            "gap_ms": pace.gap_ms,
            "first_ms": pace.first_ms,
        }
    return UPSTREAMS[dialect].path, msgspec.json.encode(fields)


def is_simulated(model: str) -> bool:
    """Return whether a model is the simulator's, by whichever of Ollama's names it has."""
    return model.removesuffix(":latest") == SIMULATED


def wants_newer_name(refusal: str | None) -> bool:
    """Return whether a refusal says that the limit on tokens must have its newer name."""
    return refusal is not None and "max_completion_tokens" in refusal
