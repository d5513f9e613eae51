"""Keeps the learnt ratios current from finished exchanges. Knows no ledger and no price (SPEC §6.8)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from streamgauge.core.record import ExchangeRecord
from streamgauge.core.routing.ratios import LEARNT_SOURCES, Ratios

__all__ = ["RatioSink"]


class RatioSink:
    """Implements Sink. `ratios` gives those in use: the data loop's, and no other thread's."""

    def __init__(self, ratios: Callable[[], Ratios]) -> None:
        self._ratios = ratios

    def started(self, record: ExchangeRecord) -> None:
        """What has not been answered teaches nothing."""

    def write(self, record: ExchangeRecord) -> None:
        """Learn from an exchange that has ended."""
        self._learn(
            record.upstream_model,
            record.key_id,
            record.usage_source,
            record.input_tokens,
            record.output_tokens,
        )

    def seed(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Learn from rows of the ledger, the oldest first."""
        for row in rows:
            self._learn(
                row["upstream_model"],
                row["key_id"],
                row["usage_source"],
                row["input_tokens"],
                row["output_tokens"],
            )

    def _learn(
        self,
        model: str | None,
        key_id: str | None,
        source: str | None,
        input_tokens: int | None,
        output_tokens: int | None,
    ) -> None:
        if model is None or source not in LEARNT_SOURCES:
            return
        if input_tokens is not None and output_tokens is not None:
            self._ratios().learn(model, key_id, input_tokens, output_tokens)
