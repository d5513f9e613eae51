"""What a group of exchanges adds up to, with exact, estimated and unknown apart. Knows no SQL."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from streamgauge.ledger.rollup_sql import BUCKETS, PARTS

__all__ = [
    "NOTHING",
    "Cost",
    "Group",
    "TimesSum",
    "Tokens",
    "UsageSum",
    "add_times",
    "add_usage",
    "together",
]

Group = Mapping[str, str | int | None]
"""Dimension: value; hours and days in µs since the epoch; None is unknown."""

_ALL_PARTS = tuple(dict.fromkeys(part for part, _ in PARTS))


@dataclass(frozen=True, slots=True)
class Tokens:
    """Sums of one count. `exact`: the provider's final numbers; `estimated`: every other source.

    Each is None when no exchange had such a number. `unknown`: exchanges without one.
    """

    exact: int | None
    estimated: int | None
    unknown: int


@dataclass(frozen=True, slots=True)
class Cost:
    """Sums in nano-units of one currency, over `exchanges` of them.

    `exact`: both counts were the provider's; `estimated`: one was not. None when there is none.
    """

    exact: int | None
    estimated: int | None
    exchanges: int


@dataclass(frozen=True, slots=True)
class UsageSum:
    """Closed exchanges of one group. `unpriced`: those without a cost, which is not a cost of 0."""

    group: Group
    exchanges: int
    successes: int
    failures: int
    input: Tokens
    output: Tokens
    cache_read: Tokens
    cache_write: Tokens
    reasoning: Tokens
    costs: Mapping[str, Cost]
    unpriced: int


_NONE = Tokens(None, None, 0)
NOTHING = UsageSum({}, 0, 0, 0, _NONE, _NONE, _NONE, _NONE, _NONE, {}, 0)
"""The sum of no exchange."""


@dataclass(frozen=True, slots=True)
class TimesSum:
    """One time of the exchanges of a group that have it. `counts`: per bucket, the last is open."""

    group: Group
    exchanges: int
    sum_us: int
    counts: tuple[int, ...]

    @property
    def mean_ms(self) -> float:
        """The mean, exact to a µs."""
        return self.sum_us / self.exchanges / 1000

    def quantile_ms(self, q: float) -> float:
        """Return the time that the fraction `q` (0 to 1) of exchanges did not exceed.

        Interpolated within its bucket. Above the last bound, that bound: "at least so much".
        """
        rank, below = q * self.exchanges, 0
        lower = 0.0
        for bound, count in zip(BUCKETS, self.counts, strict=False):
            if count and below + count >= rank:
                return lower + (bound - lower) * max(0.0, (rank - below) / count)
            below += count
            lower = float(bound)
        return lower


def together(sums: Iterable[UsageSum]) -> UsageSum:
    """Return the sum of groups that have no exchange in common."""
    total = NOTHING
    for each in sums:
        total = UsageSum(
            {},
            total.exchanges + each.exchanges,
            total.successes + each.successes,
            total.failures + each.failures,
            **{part: _both(getattr(total, part), getattr(each, part)) for part in _ALL_PARTS},
            costs=_all_costs(total.costs, each.costs),
            unpriced=total.unpriced + each.unpriced,
        )
    return total


def _both(a: Tokens, b: Tokens) -> Tokens:
    exact, estimated = _plus(a.exact, b.exact), _plus(a.estimated, b.estimated)
    return Tokens(exact, estimated, a.unknown + b.unknown)


def _all_costs(a: Mapping[str, Cost], b: Mapping[str, Cost]) -> dict[str, Cost]:
    found = dict(a)
    for currency, cost in b.items():
        one = found.get(currency, Cost(None, None, 0))
        exact, estimated = _plus(one.exact, cost.exact), _plus(one.estimated, cost.estimated)
        found[currency] = Cost(exact, estimated, one.exchanges + cost.exchanges)
    return dict(sorted(found.items()))


def _plus(a: int | None, b: int | None) -> int | None:
    """Return the sum of what is known; None where neither is."""
    if a is None or b is None:
        return b if a is None else a
    return a + b


def add_usage(
    by: Sequence[str], rows: Iterable[Sequence[Any]], costs: Iterable[Sequence[Any]]
) -> list[UsageSum]:
    """Return one sum a group.

    `rows` have the keys `by` and what `usage_sums` names; `costs` the keys `by` and what
    `cost_sums` names. A group may come several times in either.
    """
    groups: defaultdict[tuple[Any, ...], _Adding] = defaultdict(_Adding)
    width = len(by)
    for row in rows:
        if row[width] is not None:  # else there is no row at all, where nothing is grouped by
            groups[tuple(row[:width])].add(row[width:])
    for row in costs:
        currency, exact, high, low, count = row[width:]
        groups[tuple(row[:width])].add_cost(currency, bool(exact), (high << 32) + low, count)
    return [adding.sum(_group(by, values)) for values, adding in groups.items()]


def add_times(by: Sequence[str], rows: Iterable[Sequence[Any]]) -> list[TimesSum]:
    """Return one sum a group; `rows` have the keys `by`, then exchanges, sum and buckets."""
    groups: dict[tuple[Any, ...], list[int]] = {}
    for row in rows:
        key, sums = tuple(row[: len(by)]), row[len(by) :]
        before = groups.get(key, [0] * len(sums))
        groups[key] = [a + b for a, b in zip(before, sums, strict=True)]
    return [
        TimesSum(_group(by, key), exchanges, sum_us, tuple(counts))
        for key, (exchanges, sum_us, *counts) in groups.items()
    ]


def _group(by: Sequence[str], values: Sequence[Any]) -> Group:
    return {name: None if value == "" else value for name, value in zip(by, values, strict=True)}


class _Adding:
    """The sums of one group while its rows come in; a sum is there once something was added."""

    def __init__(self) -> None:
        self.exchanges = self.successes = self.failures = self.priced = 0
        self.known: dict[tuple[str, bool], int] = {}
        self.counted: defaultdict[str, int] = defaultdict(int)
        self.costs: dict[tuple[str, bool], int] = {}
        self.cost_counts: defaultdict[str, int] = defaultdict(int)

    def add(self, sums: Sequence[int]) -> None:
        """Add what `usage_sums` names."""
        self.exchanges += sums[0]
        self.successes += sums[1]
        self.failures += sums[2]
        self.priced += sums[3]
        for i, key in enumerate(PARTS):
            high, low, count = sums[4 + 3 * i : 7 + 3 * i]
            if count:
                self.known[key] = self.known.get(key, 0) + (high << 32) + low
                self.counted[key[0]] += count

    def add_cost(self, currency: str, exact: bool, value: int, count: int) -> None:
        """Add a cost in one currency, of `count` exchanges."""
        key = currency, exact
        self.costs[key] = self.costs.get(key, 0) + value
        self.cost_counts[currency] += count

    def sum(self, group: Group) -> UsageSum:
        """Return what has come in so far."""
        costs = self.costs
        return UsageSum(
            group,
            self.exchanges,
            self.successes,
            self.failures,
            **{part: self._tokens(part) for part in _ALL_PARTS},
            costs={
                name: Cost(costs.get((name, True)), costs.get((name, False)), count)
                for name, count in sorted(self.cost_counts.items())
            },
            unpriced=self.exchanges - self.priced,
        )

    def _tokens(self, part: str) -> Tokens:
        unknown = self.exchanges - self.counted.get(part, 0)
        return Tokens(self.known.get((part, True)), self.known.get((part, False)), unknown)
