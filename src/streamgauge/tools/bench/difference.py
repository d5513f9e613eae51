"""How much dearer one target is than another, told from rounds that stood beside each other. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from math import comb

__all__ = ["Difference", "difference"]

_DOUBT = 0.05
"""How often, at most, the truth lies outside of `low` to `high`."""


@dataclass(frozen=True, slots=True)
class Difference:
    """The middle of the rounds' differences, in the unit of the figure that was compared.

    `against`: the other target. In 95 of 100 such runs the true middle lies from `low` to `high`,
    however the rounds are spread; both None for less than six, which cannot tell.
    """

    against: str
    median: float
    low: float | None
    high: float | None


def difference(
    against: str, costs: Sequence[float | None], others: Sequence[float | None]
) -> Difference | None:
    """Return by how much `costs` pass the `others` of the same rounds; None where nothing compares."""
    pairs = zip(costs, others, strict=False)
    found = sorted(a - b for a, b in pairs if a is not None and b is not None)
    if not found:
        return None
    outside = _outside(len(found))
    low, high = (None, None) if outside is None else (found[outside], found[-1 - outside])
    return Difference(against, statistics.median(found), low, high)


def _outside(count: int) -> int | None:
    """Return how many of `count` may be left out on each side: by the sign test, which assumes nothing."""
    below, left = 0, None
    for each in range(count // 2):
        below += comb(count, each)
        if 2 * below > _DOUBT * 2**count:
            break
        left = each
    return left
