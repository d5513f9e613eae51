"""Sends closed rows as OpenTelemetry spans and metrics, by the GenAI conventions (SPEC §16.1). Needs `otel`.

What is sent again after a crash is the same: a span's ids follow from the row's id, and metrics are
cumulative from a state that is kept with the cursor, so that a repetition changes no sum.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import requests
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics.export import MetricExportResult
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, TraceFlags
from opentelemetry.trace.status import Status as SpanStatus
from opentelemetry.trace.status import StatusCode

from streamgauge import __version__
from streamgauge.config.exporters import Otlp
from streamgauge.sinks.cursor import Closed, Refused, Unavailable
from streamgauge.sinks.labels import Labels
from streamgauge.sinks.otel_metrics import METRIC_COLUMNS, Totals
from streamgauge.sinks.otel_names import ATTRIBUTES, operation_of

__all__ = ["SOURCE_COLUMNS", "OtelDestination"]

SOURCE_COLUMNS = tuple(
    dict.fromkeys(
        (*ATTRIBUTES, *METRIC_COLUMNS, "endpoint", "started_at", "finished_at", "success")
    )
)
"""The columns that a row needs here."""

_TIMEOUT_SECONDS = 10.0
_REFUSALS = frozenset({400, 413, 422})
_LOGGER = "opentelemetry.exporter"
_ERROR, _UNSET = SpanStatus(StatusCode.ERROR), SpanStatus(StatusCode.UNSET)


class OtelDestination:
    """Implements Destination. `now_ns`: the wall clock, for the time of metrics."""

    def __init__(
        self, settings: Otlp, labels: Labels, now_ns: Callable[[], int] = time.time_ns
    ) -> None:
        # Each failure is told by the sink, once an outage; the exporters would tell every try.
        logging.getLogger(_LOGGER).setLevel(logging.CRITICAL)
        self._labels = labels
        self._now_ns = now_ns
        self._status: int | None = None
        self._resource = Resource({"service.name": "streamgauge", "service.version": __version__})
        self._scope = InstrumentationScope("streamgauge", __version__)
        self._session = requests.Session()
        self._session.trust_env = False  # no proxy but by configuration, as everywhere here
        self._session.hooks["response"].append(self._note_status)
        headers = {name: value.get_secret_value() for name, value in settings.headers.items()}
        self._spans: OTLPSpanExporter | None = None
        self._metrics: OTLPMetricExporter | None = None
        if settings.traces:
            self._spans = OTLPSpanExporter(
                endpoint=f"{settings.url}/v1/traces",
                headers=headers,
                timeout=_TIMEOUT_SECONDS,
                session=self._session,
            )
        if settings.metrics:
            self._metrics = OTLPMetricExporter(
                endpoint=f"{settings.url}/v1/metrics",
                headers=headers,
                timeout=_TIMEOUT_SECONDS,
                session=self._session,
            )

    def send(self, rows: Sequence[Closed]) -> None:
        """Send a span for each row."""
        if self._spans is None:
            return
        self._status = None
        result = self._spans.export([self._span(values) for _, _, values in rows])
        if result is not SpanExportResult.SUCCESS:
            if self._status in _REFUSALS:
                raise Refused(f"HTTP {self._status}")
            raise self._unavailable("spans")

    def conclude(self, rows: Sequence[Closed], state: str | None) -> str | None:
        """Send the metrics of all rows so far; return their totals as the new state."""
        if self._metrics is None:
            return state
        totals = Totals.of(state)
        for _, _, values in rows:
            totals.add(values, self._labels)
        self._status = None
        data = totals.data(self._resource, self._scope, self._now_ns())
        if self._metrics.export(data) is not MetricExportResult.SUCCESS:
            raise self._unavailable("metrics")
        return totals.as_state()

    def shown(self, row: Closed) -> str:
        """Return the row's span as JSON."""
        return str(self._span(row[2]).to_json(indent=None))

    def close(self) -> None:
        """End the waiting between tries, and let the connections go."""
        for exporter in (self._spans, self._metrics):
            if exporter is not None:
                exporter.shutdown()
        self._session.close()

    def _note_status(self, response: requests.Response, *_: Any, **__: Any) -> None:
        self._status = response.status_code

    def _unavailable(self, what: str) -> Unavailable:
        told = "no answer" if self._status is None else f"HTTP {self._status}"
        return Unavailable(f"{what}: {told}")

    def _span(self, values: Mapping[str, Any]) -> ReadableSpan:
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
        return ReadableSpan(
            name=operation if model is None else f"{operation} {model}",
            context=_context(values["id"]),
            resource=self._resource,
            attributes=attributes,
            kind=SpanKind.CLIENT,
            instrumentation_scope=self._scope,
            status=_ERROR if failed else _UNSET,
            start_time=values["started_at"] * 1000,
            end_time=(values["finished_at"] or values["started_at"]) * 1000,
        )


def _context(id: str) -> SpanContext:
    """Return ids that are the row's whenever it is sent (W3C trace context: 16 and 8 bytes)."""
    digest = hashlib.sha256(id.encode()).digest()
    trace_id, span_id = int.from_bytes(digest[:16], "big"), int.from_bytes(digest[16:24], "big")
    return SpanContext(trace_id, span_id, is_remote=False, trace_flags=TraceFlags(1))
