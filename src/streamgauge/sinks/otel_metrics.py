"""Running totals of rows as OpenTelemetry metrics, by the GenAI conventions. Sends nothing."""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Mapping
from typing import Any, Self

from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from streamgauge.sinks.labels import Labels
from streamgauge.sinks.otel_names import operation_of

__all__ = ["METRIC_COLUMNS", "Totals"]

METRIC_COLUMNS = (
    *("upstream", "upstream_model", "response_model", "requested_model", "endpoint"),
    *("started_at", "finished_at", "status", "success", "ttft_ms", "cost_nano", "currency"),
    *("input_tokens", "output_tokens", "input_source", "usage_source"),
)
_TOKENS, _DURATION, _TTFT, _COST = (
    "gen_ai.client.token.usage",
    "gen_ai.client.operation.duration",
    "gen_ai.server.time_to_first_token",
    "streamgauge.cost_nano",
)
_UNITS = {_TOKENS: "{token}", _DURATION: "s", _TTFT: "s", _COST: "{nano}"}
_WHAT = {
    _TOKENS: "Tokens read and written.",
    _DURATION: "From the request to the end.",
    _TTFT: "From the request to the first content.",
    _COST: "Cost in nano-units of a currency.",
}
_BOUNDS: Mapping[str, tuple[float, ...]] = {
    _TOKENS: tuple(float(4**n) for n in range(14)),
    _DURATION: tuple(round(0.01 * 2**n, 2) for n in range(14)),
    _TTFT: (
        *(0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25),
        *(0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0),
    ),
}
"""The boundaries that the conventions advise."""

_FORM = 1
"""Of the state. One that is not known is not read: the totals begin anew, as after a restart."""

Attributes = tuple[tuple[str, str], ...]


class Totals:
    """Cumulative metrics since `start_ns`, the begin of the first row."""

    def __init__(self, start_ns: int | None = None) -> None:
        self._start_ns = start_ns
        self._histograms: dict[tuple[str, Attributes], list[Any]] = {}
        self._sums: dict[tuple[str, Attributes], int] = {}

    @classmethod
    def of(cls, state: str | None) -> Self:
        """Return the totals that `as_state` told, or empty ones."""
        told = None if state is None else json.loads(state)
        if told is None or told["form"] != _FORM:
            return cls()
        totals = cls(told["start_ns"])
        for name, pairs, total, counts in told["histograms"]:
            totals._histograms[name, _attributes(pairs)] = [total, counts]
        for name, pairs, total in told["sums"]:
            totals._sums[name, _attributes(pairs)] = total
        return totals

    def as_state(self) -> str:
        """Return all of it as text."""
        histograms = [[*key, *found] for key, found in self._histograms.items()]
        sums = [[*key, total] for key, total in self._sums.items()]
        told = {"form": _FORM, "start_ns": self._start_ns, "histograms": histograms, "sums": sums}
        return json.dumps(told, separators=(",", ":"))

    def add(self, values: Mapping[str, Any], labels: Labels) -> None:
        """Add one row. Attributes are closed lists and configured names, else `other`."""
        if self._start_ns is None:
            self._start_ns = values["started_at"] * 1000
        names = (values["upstream_model"], values["response_model"], values["requested_model"])
        by: Attributes = (
            ("gen_ai.operation.name", operation_of(values["endpoint"])),
            ("gen_ai.provider.name", labels.upstream(values["upstream"])),
            ("gen_ai.request.model", labels.model(*names)),
        )
        failed = (("error.type", values["status"]),) if values["success"] == 0 else ()
        if (finished_at := values["finished_at"]) is not None:
            seconds = (finished_at - values["started_at"]) / 1e6
            self._observe(_DURATION, (*by, *failed), seconds)
        if values["ttft_ms"] is not None:
            self._observe(_TTFT, by, values["ttft_ms"] / 1000)
        for kind, source in (("input", "input_source"), ("output", "usage_source")):
            if (count := values[f"{kind}_tokens"]) is not None:
                told = ("streamgauge.usage_source", labels.source(values[source]))
                self._observe(_TOKENS, (*by, ("gen_ai.token.type", kind), told), count)
        if values["cost_nano"] is not None:
            key = (_COST, (*by, ("streamgauge.currency", labels.currency(values["currency"]))))
            self._sums[key] = self._sums.get(key, 0) + values["cost_nano"]

    def data(self, resource: Resource, scope: InstrumentationScope, now_ns: int) -> MetricsData:
        """Return everything, as of `now_ns`."""
        start_ns = now_ns if self._start_ns is None else self._start_ns
        metrics = [self._histogram(name, start_ns, now_ns) for name in _BOUNDS]
        metrics.append(self._sum(_COST, start_ns, now_ns))
        told = [metric for metric in metrics if metric.data.data_points]
        scoped = ScopeMetrics(scope=scope, metrics=told, schema_url="")
        of_resource = ResourceMetrics(resource=resource, scope_metrics=[scoped], schema_url="")
        return MetricsData(resource_metrics=[of_resource])

    def _observe(self, name: str, by: Attributes, value: float) -> None:
        bounds = _BOUNDS[name]
        found = self._histograms.get((name, by))
        if found is None:
            found = self._histograms[name, by] = [0, [0] * (len(bounds) + 1)]
        found[0] += value
        found[1][bisect_left(bounds, value)] += 1

    def _histogram(self, name: str, start_ns: int, now_ns: int) -> Metric:
        points = [
            HistogramDataPoint(
                attributes=dict(by),
                start_time_unix_nano=start_ns,
                time_unix_nano=now_ns,
                count=sum(counts),
                sum=total,
                bucket_counts=counts,
                explicit_bounds=_BOUNDS[name],
                min=None,  # type: ignore[arg-type]  # not known over all rows, and optional in OTLP
                max=None,  # type: ignore[arg-type]
            )
            for (of, by), (total, counts) in self._histograms.items()
            if of == name
        ]
        data = Histogram(points, AggregationTemporality.CUMULATIVE)
        return Metric(name, _WHAT[name], _UNITS[name], data)

    def _sum(self, name: str, start_ns: int, now_ns: int) -> Metric:
        points = [
            NumberDataPoint(dict(by), start_ns, now_ns, total)
            for (of, by), total in self._sums.items()
            if of == name
        ]
        data = Sum(points, AggregationTemporality.CUMULATIVE, is_monotonic=True)
        return Metric(name, _WHAT[name], _UNITS[name], data)


def _attributes(pairs: list[list[str]]) -> Attributes:
    return tuple((name, value) for name, value in pairs)
