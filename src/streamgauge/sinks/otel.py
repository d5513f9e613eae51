"""Sends closed rows as OpenTelemetry spans and metrics over HTTP (SPEC §16.1). Needs the extra `otel`.

What is sent again after a crash is the same: a span's ids follow from the row's id, and metrics are
cumulative from a state that is kept with the cursor, so that a repetition changes no sum.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

from google.protobuf.json_format import MessageToDict  # type: ignore[import-untyped]
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from streamgauge import __version__
from streamgauge.config.exporters import Otlp
from streamgauge.config.headers import header_secrets
from streamgauge.sinks.cursor import Closed, Refused, Unavailable
from streamgauge.sinks.dropped import Dropped
from streamgauge.sinks.labels import Labels
from streamgauge.sinks.otel_metrics import MetricEncoder
from streamgauge.sinks.otel_spans import SPAN_COLUMNS, SpanEncoder
from streamgauge.sinks.otel_totals import TOTAL_COLUMNS, Totals
from streamgauge.sinks.posting import Answer, Posting

__all__ = ["SOURCE_COLUMNS", "OtelDestination"]

SOURCE_COLUMNS = tuple(dict.fromkeys((*SPAN_COLUMNS, *TOTAL_COLUMNS)))
"""The columns that a row needs here."""

_REFUSALS = frozenset({400, 413, 422})


class OtelDestination:
    """Implements Destination. `now_ns`: the wall clock, for the time of metrics."""

    def __init__(
        self, settings: Otlp, labels: Labels, now_ns: Callable[[], int] = time.time_ns
    ) -> None:
        self._labels = labels
        self._now_ns = now_ns
        self._sends_spans, self._sends_metrics = settings.traces, settings.metrics
        resource, scope = _sender()
        self._spans = SpanEncoder(resource, scope)
        self._metrics = MetricEncoder(resource, scope)
        self._concluded: tuple[str, Totals] | None = None
        self._dropped: list[Dropped] = []
        headers = {name: value.get_secret_value() for name, value in settings.headers.items()}
        headers["content-type"] = "application/x-protobuf"
        self._posting = Posting(settings.url, headers, header_secrets(settings.headers))

    def send(self, rows: Sequence[Closed]) -> None:
        """Send a span for each row."""
        if not self._sends_spans:
            return
        answer = self._posting.post("/v1/traces", self._spans.request(row[2] for row in rows))
        if answer.status in _REFUSALS:
            raise Refused(f"HTTP {answer.status}")
        _check("spans", answer)
        if answer.body:
            self._dropped += self._told(_dropped_spans(answer.body))

    def conclude(self, rows: Sequence[Closed], state: str | None) -> str | None:
        """Send the metrics of all rows so far; return their totals as the new state."""
        if not self._sends_metrics:
            return state
        totals = self._totals(state)
        totals.add((row[2] for row in rows), self._labels)
        body = self._metrics.request(totals, self._now_ns())
        answer = self._posting.post("/v1/metrics", body)
        _check("metrics", answer)
        if answer.body:
            self._dropped += self._told(_dropped_points(answer.body))
        concluded = totals.as_state()
        self._concluded = concluded, totals
        return concluded

    def _told(self, dropped: Iterable[Dropped]) -> Iterator[Dropped]:
        for each in dropped:
            yield replace(each, reason=self._posting.repeatable(each.reason) or "-")

    def dropped(self) -> Sequence[Dropped]:
        """Return what answers told of: partial success (OTLP specification, OTLP/HTTP response)."""
        dropped, self._dropped = self._dropped, []
        return dropped

    def shown(self, row: Closed) -> str:
        """Return the row's span as JSON, with its ids as people and OTLP's JSON write them."""
        span = self._spans.span(row[2])
        ids = {"traceId": span.trace_id.hex(), "spanId": span.span_id.hex()}
        return json.dumps(MessageToDict(span) | ids)

    def close(self) -> None:
        """Cut a request that is under way."""
        self._posting.close()

    def _totals(self, state: str | None) -> Totals:
        """Return the totals of `state`: those in hand, unless a failure has left others in them."""
        concluded, self._concluded = self._concluded, None
        if concluded is not None and concluded[0] == state:
            return concluded[1]
        return Totals.of(state)


def _sender() -> tuple[Resource, InstrumentationScope]:
    named = {"service.name": "streamgauge", "service.version": __version__}
    attributes = [
        KeyValue(key=name, value=AnyValue(string_value=value)) for name, value in named.items()
    ]
    return Resource(attributes=attributes), InstrumentationScope(
        name="streamgauge", version=__version__
    )


def _check(what: str, answer: Answer) -> None:
    """Raise Unavailable unless the body was taken."""
    if not answer.accepted:
        raise Unavailable(f"{what}: HTTP {answer.status}", answer.after)


def _dropped_spans(body: bytes) -> Iterator[Dropped]:
    try:
        told = ExportTraceServiceResponse.FromString(body).partial_success
    except DecodeError:
        return  # Taken all the same, by the status.
    yield from _dropped("spans", told.rejected_spans, told.error_message)


def _dropped_points(body: bytes) -> Iterator[Dropped]:
    try:
        told = ExportMetricsServiceResponse.FromString(body).partial_success
    except DecodeError:
        return
    yield from _dropped("points", told.rejected_data_points, told.error_message)


def _dropped(what: str, count: int, message: str) -> Iterator[Dropped]:
    """Yield what was thrown away, or remarked upon; a message that is all zeros is neither."""
    if count > 0 or message:
        yield Dropped(what, max(0, count), message)
