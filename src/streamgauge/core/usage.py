"""Token counts and timings as an upstream states them. None means: not stated."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

__all__ = ["MAX_COUNT", "Booked", "Timings", "TokenUsage"]

MAX_COUNT = 2**53
"""Largest count believed: the largest integer that JSON readers in every language keep exact."""


class TokenUsage(msgspec.Struct, frozen=True, gc=False):
    """Token counts of one answer. `input` is everything read, cache included; the others are parts.

    `input` holds `cache_read` and `cache_write`; `output` holds `reasoning`. Each is None when the
    upstream did not state it: an explicit 0 is 0.
    """

    input: int | None = None
    output: int | None = None
    cache_read: int | None = None
    cache_write: int | None = None
    reasoning: int | None = None

    def updated(self, newer: TokenUsage) -> TokenUsage:
        """Return these counts with each field that `newer` states taken from it (SPEC §6.1)."""
        return TokenUsage(
            self.input if newer.input is None else newer.input,
            self.output if newer.output is None else newer.output,
            self.cache_read if newer.cache_read is None else newer.cache_read,
            self.cache_write if newer.cache_write is None else newer.cache_write,
            self.reasoning if newer.reasoning is None else newer.reasoning,
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


class Booked(msgspec.Struct, frozen=True, gc=False):
    """What the row will hold: counts with their sources, `none` where nothing is known."""

    usage: TokenUsage
    usage_source: str
    input_source: str
