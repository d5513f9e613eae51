"""Whether a failed attempt may be followed by another: circuits, drains, budget, chance. Knows no stream."""

from __future__ import annotations

import random
import time

from streamgauge.core.attempt import Attempt, Retries
from streamgauge.core.routing.retries import RetryBudget
from streamgauge.gateway.generation import Generation

__all__ = ["Retrying"]


class Retrying:
    """The retries of one gateway: one budget, and per configuration what exchanges are given."""

    def __init__(self) -> None:
        self._generation: Generation | None = None
        self._percent: int | None = None
        self._budget = RetryBudget()
        self._retries = Retries()

    def begin(self, generation: Generation, now: float) -> Retries:
        """Count a request and return how its attempts may follow each other; `now` monotonic."""
        if generation is not self._generation:
            self._adopt(generation)
        self._budget.note_call(now)
        return self._retries

    def _adopt(self, generation: Generation) -> None:
        bounds, upstreams = generation.config.routing.retries, generation.upstreams
        self._generation = generation
        if bounds.budget_percent != self._percent:
            self._percent, self._budget = bounds.budget_percent, RetryBudget(bounds.budget_percent)

        def admits(attempt: Attempt) -> bool:
            return upstreams[attempt.upstream].admits(time.monotonic())

        self._retries = Retries(bounds.chain_seconds, admits, self._budget.take, random.random)
