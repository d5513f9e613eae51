"""How much a model should think: words on one side, tokens on the other (WIRE §5.4)."""

from __future__ import annotations

from collections.abc import Mapping

from streamgauge.core.conversation import Reasoning

__all__ = ["budget_of", "coarse_effort", "effort_of"]

_BUDGETS: Mapping[str, int] = {
    "minimal": 128,
    "low": 1024,
    "medium": 2048,
    "high": 4096,
    "xhigh": 8192,
    "max": 16384,
}
_FROM: tuple[tuple[int, str], ...] = ((4096, "high"), (2048, "medium"), (1024, "low"))
_COARSE: Mapping[str, str] = {"minimal": "low", "xhigh": "high", "max": "high"}


def effort_of(reasoning: Reasoning) -> str | None:
    """Return the effort as stated, else the one that fits the budget; None without both."""
    if reasoning.effort is not None or reasoning.budget is None:
        return reasoning.effort
    budget = reasoning.budget
    return next((effort for least, effort in _FROM if budget >= least), "minimal")


def budget_of(effort: str) -> int:
    """Return the tokens of thinking that `effort` stands for."""
    return _BUDGETS.get(effort, _BUDGETS["medium"])


def coarse_effort(effort: str) -> str:
    """Return `effort` as low, medium or high, for readers that know no others."""
    return _COARSE.get(effort, effort)
