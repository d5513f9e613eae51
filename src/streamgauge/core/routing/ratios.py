"""Learns how many tokens a model writes for those it reads. Knows no ledger and no price (SPEC §6.8)."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["LEARNT_SOURCES", "MAX_RATIOS", "Ratio", "Ratios"]

MAX_RATIOS = 1024
"""Clients choose model names and keys come and go: what was not learnt of for longest is forgotten."""
LEARNT_SOURCES = frozenset({"provider", "timings", "running"})
"""`usage_source` of counts that an upstream stated. Our own are bounds and would pull a ratio down."""
_MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Ratio:
    """Tokens written to tokens read, as two sums over `samples` answers. `input_tokens` is above 0."""

    input_tokens: int
    output_tokens: int
    samples: int

    @property
    def per_million(self) -> int:
        """Tokens written for a million tokens read, rounded half up."""
        return self._scaled(_MILLION)

    def expected_output(self, input_tokens: int) -> int:
        """Return the tokens that an answer to `input_tokens` would have, rounded half up."""
        return self._scaled(input_tokens)

    def _scaled(self, input_tokens: int) -> int:
        doubled = 2 * input_tokens * self.output_tokens + self.input_tokens
        return doubled // (2 * self.input_tokens)


class Ratios:
    """Running ratios by model and key, and by model alone. At most `limit` of them are held.

    A long prompt weighs more than a short one: it is sums that are divided, not a mean of ratios.
    """

    def __init__(self, limit: int = MAX_RATIOS) -> None:
        self._limit = limit
        self._by_name: dict[tuple[str, str | None], list[int]] = {}
        """Read, written, samples: sums that grow with each answer."""

    def __len__(self) -> int:
        return len(self._by_name)

    def learn(self, model: str, key_id: str | None, input_tokens: int, output_tokens: int) -> None:
        """Take in one answer. Counts that say nothing of a ratio (nothing read) are left out."""
        if input_tokens <= 0 or output_tokens < 0:
            return
        if key_id is not None:
            self._add((model, key_id), input_tokens, output_tokens)
        self._add((model, None), input_tokens, output_tokens)

    def ratio(self, model: str | None, key_id: str | None = None) -> Ratio | None:
        """Return the ratio of `model` for the key, else of `model` for everybody, or None."""
        if model is None:
            return None
        own = None if key_id is None else self._by_name.get((model, key_id))
        found = own or self._by_name.get((model, None))
        return None if found is None else Ratio(*found)

    def _add(self, name: tuple[str, str | None], read: int, written: int) -> None:
        # Taken out and put back: a dict keeps the order, so the first is the one longest untouched.
        known = self._by_name.pop(name, None)
        if known is None:
            known = [0, 0, 0]
        known[0] += read
        known[1] += written
        known[2] += 1
        self._by_name[name] = known
        if len(self._by_name) > self._limit:
            del self._by_name[next(iter(self._by_name))]
