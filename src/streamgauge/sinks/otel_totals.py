"""Running totals of closed rows, by the names of OpenTelemetry's GenAI metrics. Knows no protocol."""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any, Self

from streamgauge.core.record import Status
from streamgauge.sinks.labels import Labels
from streamgauge.sinks.otel_names import operation_of

__all__ = ["BOUNDS", "COST", "DURATION", "TOKENS", "TOTAL_COLUMNS", "TTFT", "Attributes", "Totals"]

TOTAL_COLUMNS = (
    *("upstream", "upstream_model", "response_model", "requested_model", "endpoint"),
    *("started_at", "finished_at", "status", "success", "ttft_ms", "cost_nano", "currency"),
    *("input_tokens", "output_tokens", "input_source", "usage_source"),
)
"""The columns that a row needs here."""

TOKENS, DURATION, TTFT, COST = (
    "gen_ai.client.token.usage",
    "gen_ai.client.operation.duration",
    "gen_ai.server.time_to_first_token",
    "streamgauge.cost_nano",
)
BOUNDS: Mapping[str, tuple[float, ...]] = {
    TOKENS: tuple(float(4**n) for n in range(14)),
    DURATION: tuple(round(0.01 * 2**n, 2) for n in range(14)),
    TTFT: (
        *(0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25),
        *(0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0),
    ),
}
"""The boundaries that the conventions advise. What is not here is a plain sum."""

_FORM = 1
"""Of the state. One that is not known is not read: the totals begin anew, as after a restart."""

_KINDS = (
    ("input", "input_tokens", "input_source"),
    ("output", "output_tokens", "usage_source"),
)
_names_of = itemgetter(
    "endpoint", "upstream", "upstream_model", "response_model", "requested_model"
)

Attributes = tuple[tuple[str, str], ...]
Row = Mapping[str, Any]


class Totals:
    """Cumulative since `start_ns`, the begin of the first row, or None before it.

    `histograms`: for a metric and its attributes the sum, and the count of each bucket, of which
    the last is open. `sums`: the sum.
    """

    def __init__(self, start_ns: int | None = None) -> None:
        self.start_ns = start_ns
        self.histograms: dict[tuple[str, Attributes], list[Any]] = {}
        self.sums: dict[tuple[str, Attributes], int] = {}

    @classmethod
    def of(cls, state: str | None) -> Self:
        """Return the totals that `as_state` told, or empty ones."""
        told = None if state is None else json.loads(state)
        if told is None or told["form"] != _FORM:
            return cls()
        totals = cls(told["start_ns"])
        for name, pairs, total, counts in told["histograms"]:
            totals.histograms[name, _attributes(pairs)] = [total, counts]
        for name, pairs, total in told["sums"]:
            totals.sums[name, _attributes(pairs)] = total
        return totals

    def as_state(self) -> str:
        """Return all of it as text."""
        histograms = [[*key, *found] for key, found in self.histograms.items()]
        sums = [[*key, total] for key, total in self.sums.items()]
        told = {"form": _FORM, "start_ns": self.start_ns, "histograms": histograms, "sums": sums}
        return json.dumps(told, separators=(",", ":"))

    def add(self, rows: Iterable[Row], labels: Labels) -> None:
        """Add rows. Attributes are closed lists and configured names, else `other`."""
        # A reload gives names labels of their own: what was looked up holds for these rows only.
        looked_up: dict[tuple[Any, ...], Attributes] = {}
        for values in rows:
            if self.start_ns is None:
                self.start_ns = values["started_at"] * 1000
            names = _names_of(values)
            by = looked_up.get(names)
            if by is None:
                by = looked_up[names] = _labelled(labels, *names)
            self._add(values, by, labels)

    def _add(self, values: Row, by: Attributes, labels: Labels) -> None:
        # A crashed row was closed by the next start: how long it had lasted nobody knows.
        crashed = values["status"] == Status.GATEWAY_CRASH
        if (finished_at := values["finished_at"]) is not None and not crashed:
            failed = (("error.type", values["status"]),) if values["success"] == 0 else ()
            seconds = (finished_at - values["started_at"]) / 1e6
            self._observe(DURATION, (*by, *failed), seconds)
        if (ttft_ms := values["ttft_ms"]) is not None:
            self._observe(TTFT, by, ttft_ms / 1000)
        for kind, column, source in _KINDS:
            if (count := values[column]) is not None:
                told = ("streamgauge.usage_source", labels.source(values[source]))
                self._observe(TOKENS, (*by, ("gen_ai.token.type", kind), told), count)
        if (cost_nano := values["cost_nano"]) is not None:
            key = (COST, (*by, ("streamgauge.currency", labels.currency(values["currency"]))))
            self.sums[key] = self.sums.get(key, 0) + cost_nano

    def _observe(self, name: str, by: Attributes, value: float) -> None:
        bounds = BOUNDS[name]
        found = self.histograms.get((name, by))
        if found is None:
            found = self.histograms[name, by] = [0, [0] * (len(bounds) + 1)]
        found[0] += value
        found[1][bisect_left(bounds, value)] += 1


def _labelled(
    labels: Labels, endpoint: str | None, upstream: str | None, *models: str | None
) -> Attributes:
    return (
        ("gen_ai.operation.name", operation_of(endpoint)),
        ("gen_ai.provider.name", labels.upstream(upstream)),
        ("gen_ai.request.model", labels.model(*models)),
    )


def _attributes(pairs: Sequence[Sequence[str]]) -> Attributes:
    return tuple((name, value) for name, value in pairs)
