"""What Anthropic's models take of what is asked about thinking, by their names."""

from __future__ import annotations

import re

__all__ = ["always_thinks", "takes_no_budget"]

_NO_BUDGET = re.compile(
    r"(?:.*/)?claude-(?:opus-4[-.][7-9](?!\d)|(?:opus|sonnet|haiku)-[5-9](?!\d)|fable|mythos)(?:[-.].*)?"
)
"""They refuse a budget of thinking, and any temperature, top_p and top_k but the usual ones."""
_ALWAYS = re.compile(r"(?:.*/)?claude-(?:(?:opus|sonnet)-5[-.][5-9](?!\d)|fable|mythos)(?:[-.].*)?")
"""They refuse to be told not to think as well."""


def takes_no_budget(model: str | None) -> bool:
    """Return whether a model thinks as much as it finds right: it is told an effort, no budget."""
    return model is not None and _NO_BUDGET.fullmatch(model) is not None


def always_thinks(model: str | None) -> bool:
    """Return whether a model's thinking cannot be switched off."""
    return model is not None and _ALWAYS.fullmatch(model) is not None
