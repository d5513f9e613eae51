"""Token counts and timings as an upstream states them. None means: not stated."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Self

__all__ = ["MAX_COUNT", "Timings", "TokenUsage"]

MAX_COUNT = 2**53
"""Largest count believed: the largest integer that JSON readers in every language keep exact."""


@dataclass(frozen=True, slots=True)
class TokenUsage:
    """Token counts of one answer. `input` is everything read, cache included; the others are parts.

    `input` holds `cache_read` and `cache_write`; `output` holds `reasoning`. Each is None when the
    upstream did not state it: an explicit 0 is 0.
    """

    input: int | None = None
    output: int | None = None
    cache_read: int | None = None
    cache_write: int | None = None
    reasoning: int | None = None

    def updated(self, newer: TokenUsage) -> Self:
        """Return these counts with each field that `newer` states taken from it (SPEC §6.1)."""
        return type(self)(
            *(
                mine if stated is None else stated
                for mine, stated in (
                    (getattr(self, f.name), getattr(newer, f.name)) for f in fields(self)
                )
            )
        )


@dataclass(frozen=True, slots=True)
class Timings:
    """llama.cpp's `timings` object: token counts and milliseconds of prompt and generation."""

    prompt_n: int | None = None
    prompt_ms: float | None = None
    prompt_per_second: float | None = None
    predicted_n: int | None = None
    predicted_ms: float | None = None
    predicted_per_second: float | None = None
    cache_n: int | None = None
