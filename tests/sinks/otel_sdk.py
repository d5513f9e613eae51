"""The plain way to OTLP, through OpenTelemetry's SDK: the oracle of what is encoded here directly."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

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
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, TraceFlags
from opentelemetry.trace.status import Status, StatusCode

from streamgauge import __version__
from streamgauge.sinks.otel_names import ATTRIBUTES, operation_of
from streamgauge.sinks.otel_totals import BOUNDS, Totals

__all__ = ["sdk_metrics", "sdk_span"]

_RESOURCE = Resource({"service.name": "streamgauge", "service.version": __version__})
_SCOPE = InstrumentationScope("streamgauge", __version__)
_METRICS = {
    "gen_ai.client.token.usage": ("Tokens read and written.", "{token}"),
    "gen_ai.client.operation.duration": ("From the request to the end.", "s"),
    "gen_ai.server.time_to_first_token": ("From the request to the first content.", "s"),
    "streamgauge.cost_nano": ("Cost in nano-units of a currency.", "{nano}"),
}


def sdk_span(values: Mapping[str, Any]) -> ReadableSpan:
    """Return the span of a row."""
    model = values["upstream_model"] or values["requested_model"]
    operation = operation_of(values["endpoint"])
    failed = values["success"] == 0
    attributes = {
        name: [values[column]] if name.endswith("_reasons") else values[column]
        for column, name in ATTRIBUTES.items()
        if values[column] is not None
    }
    attributes["gen_ai.operation.name"] = operation
    if failed:
        attributes["error.type"] = values["error_code"] or values["status"]
    digest = hashlib.sha256(values["id"].encode()).digest()
    trace_id, span_id = int.from_bytes(digest[:16], "big"), int.from_bytes(digest[16:24], "big")
    return ReadableSpan(
        name=operation if model is None else f"{operation} {model}",
        context=SpanContext(trace_id, span_id, is_remote=False, trace_flags=TraceFlags(1)),
        resource=_RESOURCE,
        attributes=attributes,
        kind=SpanKind.CLIENT,
        instrumentation_scope=_SCOPE,
        status=Status(StatusCode.ERROR if failed else StatusCode.UNSET),
        start_time=values["started_at"] * 1000,
        end_time=(values["finished_at"] or values["started_at"]) * 1000,
    )


def sdk_metrics(totals: Totals, now_ns: int) -> MetricsData:
    """Return all of `totals`."""
    assert totals.start_ns is not None
    span = {"start_time_unix_nano": totals.start_ns, "time_unix_nano": now_ns}
    points: dict[str, list[Any]] = {}
    for (name, by), (total, counts) in totals.histograms.items():
        points.setdefault(name, []).append(
            HistogramDataPoint(
                attributes=dict(by),
                count=sum(counts),
                sum=total,
                bucket_counts=counts,
                explicit_bounds=BOUNDS[name],
                min=None,  # type: ignore[arg-type]
                max=None,  # type: ignore[arg-type]
                **span,
            )
        )
    for (name, by), total in totals.sums.items():
        points.setdefault(name, []).append(
            NumberDataPoint(attributes=dict(by), value=total, **span)
        )
    cumulative = AggregationTemporality.CUMULATIVE
    metrics = [
        Metric(
            name,
            *_METRICS[name],
            Histogram(of_name, cumulative) if name in BOUNDS else Sum(of_name, cumulative, True),
        )
        for name, of_name in points.items()
    ]
    scoped = ScopeMetrics(scope=_SCOPE, metrics=metrics, schema_url="")
    return MetricsData([ResourceMetrics(_RESOURCE, [scoped], schema_url="")])
