"""Encodes running totals as OpenTelemetry metrics. Adds nothing up, sends nothing."""

from __future__ import annotations

from collections import defaultdict

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    AggregationTemporality,
    HistogramDataPoint,
    Metric,
    NumberDataPoint,
)
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from streamgauge.sinks.otel_totals import BOUNDS, COST, DURATION, TOKENS, TTFT, Attributes, Totals

__all__ = ["MetricEncoder"]

_UNITS = {TOKENS: "{token}", DURATION: "s", TTFT: "s", COST: "{nano}"}
_WHAT = {
    TOKENS: "Tokens read and written.",
    DURATION: "From the request to the end.",
    TTFT: "From the request to the first content.",
    COST: "Cost in nano-units of a currency.",
}
_CUMULATIVE = AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE

_LARGEST = 2**63 - 1


class MetricEncoder:
    """Makes metrics of totals. What a point has each time is encoded once and copied."""

    def __init__(self, resource: Resource, scope: InstrumentationScope) -> None:
        self._resource = resource
        self._scope = scope
        # As many as there are totals, whose attributes are closed lists and configured names.
        self._histogram_points: dict[tuple[str, Attributes], HistogramDataPoint] = {}
        self._number_points: dict[tuple[str, Attributes], NumberDataPoint] = {}

    def request(self, totals: Totals, now_ns: int) -> bytes:
        """Return the body that reports all of `totals`, as of `now_ns`."""
        start_ns = now_ns if totals.start_ns is None else totals.start_ns
        request = ExportMetricsServiceRequest()
        of_resource = request.resource_metrics.add(resource=self._resource)
        scoped = of_resource.scope_metrics.add(scope=self._scope)
        metrics: defaultdict[str, Metric] = defaultdict(scoped.metrics.add)
        for key, (total, counts) in totals.histograms.items():
            point = metrics[key[0]].histogram.data_points.add()
            point.CopyFrom(self._histogram_point(key))
            point.start_time_unix_nano, point.time_unix_nano = start_ns, now_ns
            point.count, point.sum = sum(counts), total
            point.bucket_counts.extend(counts)
        for key, total in totals.sums.items():
            number = metrics[key[0]].sum.data_points.add()
            number.CopyFrom(self._number_point(key))
            number.start_time_unix_nano, number.time_unix_nano = start_ns, now_ns
            if abs(total) <= _LARGEST:
                number.as_int = total
            else:  # nano-units of a small currency outgrow 64 bits; a double is off by 1e-16 of it
                number.as_double = total
        for name, metric in metrics.items():
            _describe(metric, name)
        body: bytes = request.SerializeToString()
        return body

    def _histogram_point(self, key: tuple[str, Attributes]) -> HistogramDataPoint:
        found = self._histogram_points.get(key)
        if found is None:
            name, by = key
            # No least and no most value: they are optional, and not known of all rows.
            found = HistogramDataPoint(attributes=_encoded(by), explicit_bounds=BOUNDS[name])
            self._histogram_points[key] = found
        return found

    def _number_point(self, key: tuple[str, Attributes]) -> NumberDataPoint:
        found = self._number_points.get(key)
        if found is None:
            found = self._number_points[key] = NumberDataPoint(attributes=_encoded(key[1]))
        return found


def _describe(metric: Metric, name: str) -> None:
    metric.name, metric.unit, metric.description = name, _UNITS[name], _WHAT[name]
    if name in BOUNDS:
        metric.histogram.aggregation_temporality = _CUMULATIVE
    else:
        metric.sum.aggregation_temporality = _CUMULATIVE
        metric.sum.is_monotonic = True


def _encoded(by: Attributes) -> list[KeyValue]:
    return [KeyValue(key=name, value=AnyValue(string_value=value)) for name, value in by]
