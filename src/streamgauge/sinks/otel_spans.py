"""Encodes closed rows as OpenTelemetry spans, by the GenAI conventions (SPEC §16.1). Sends nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from operator import itemgetter
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span, SpanFlags, Status

from streamgauge.sinks.otel_names import ATTRIBUTES, operation_of

__all__ = ["SPAN_COLUMNS", "SpanEncoder"]

_OWN_TEXTS = ("id", "session_id")
_OWN_INTEGERS = (
    *("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens"),
    *("cost_nano", "attempts"),
)
_OWN_TIMES = ("ttft_ms", "gap_p95_ms")
_OWN = frozenset((*_OWN_TEXTS, *_OWN_INTEGERS, *_OWN_TIMES))
"""What nearly each row has a value of its own for. All else comes again and again."""

_TEXTS = tuple((column, ATTRIBUTES[column]) for column in _OWN_TEXTS)
_INTEGERS = tuple((column, ATTRIBUTES[column]) for column in _OWN_INTEGERS)
_TIMES = tuple((column, ATTRIBUTES[column]) for column in _OWN_TIMES)

_COMMON = (*(column for column in ATTRIBUTES if column not in _OWN), "endpoint", "success")
_common_of = itemgetter(*_COMMON)

_MOST_COMMONS = 500
"""Kinds of rows that are remembered. Clients make names up: when there are more, all is forgotten."""

SPAN_COLUMNS = tuple(dict.fromkeys((*ATTRIBUTES, *_COMMON, "started_at", "finished_at")))
"""The columns that a row needs here."""


class SpanEncoder:
    """Makes spans of rows. What many rows have in common is encoded once and copied."""

    def __init__(self, resource: Resource, scope: InstrumentationScope) -> None:
        self._resource = resource
        self._scope = scope
        self._commons: dict[tuple[Any, ...], Span] = {}

    def request(self, rows: Iterable[Mapping[str, Any]]) -> bytes:
        """Return the body that reports a span for each of `rows`."""
        request = ExportTraceServiceRequest()
        of_resource = request.resource_spans.add(resource=self._resource)
        scoped = of_resource.scope_spans.add(scope=self._scope)
        for values in rows:
            self._fill(scoped.spans.add(), values)
        body: bytes = request.SerializeToString()
        return body

    def span(self, values: Mapping[str, Any]) -> Span:
        """Return the span of one row."""
        span = Span()
        self._fill(span, values)
        return span

    def _fill(self, span: Span, values: Mapping[str, Any]) -> None:
        span.CopyFrom(self._common(values))
        # The ids are the row's whenever it is sent (W3C trace context: 16 and 8 bytes).
        digest = hashlib.sha256(values["id"].encode()).digest()
        span.trace_id, span.span_id = digest[:16], digest[16:24]
        begun, ended = values["started_at"], values["finished_at"]
        span.start_time_unix_nano = begun * 1000
        span.end_time_unix_nano = (begun if ended is None else ended) * 1000
        add = span.attributes.add
        for column, name in _TEXTS:
            if (text := values[column]) is not None:
                add(key=name).value.string_value = text
        for column, name in _INTEGERS:
            if (count := values[column]) is not None:
                add(key=name).value.int_value = count
        for column, name in _TIMES:
            if (time_ms := values[column]) is not None:
                add(key=name).value.double_value = time_ms

    def _common(self, values: Mapping[str, Any]) -> Span:
        key = _common_of(values)
        found = self._commons.get(key)
        if found is None:
            if len(self._commons) >= _MOST_COMMONS:
                self._commons.clear()
            found = self._commons[key] = _common_span(values)
        return found


def _common_span(values: Mapping[str, Any]) -> Span:
    """Return all of a span that is not its row's alone."""
    model = values["upstream_model"] or values["requested_model"]
    operation = operation_of(values["endpoint"])
    failed = values["success"] == 0
    span = Span(
        name=operation if model is None else f"{operation} {model}",
        kind=Span.SpanKind.SPAN_KIND_CLIENT,
        flags=SpanFlags.SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK,
        status=Status(code=Status.STATUS_CODE_ERROR if failed else Status.STATUS_CODE_UNSET),
    )
    _attribute(span, "gen_ai.operation.name", operation)
    if failed:
        _attribute(span, "error.type", values["error_code"] or values["status"])
    for column, name in ATTRIBUTES.items():
        if column not in _OWN and (value := values[column]) is not None:
            _attribute(span, name, value)
    return span


def _attribute(span: Span, name: str, value: str | int) -> None:
    to = span.attributes.add(key=name).value
    if name.endswith("_reasons"):  # a list by the conventions: one for each choice
        to = to.array_value.values.add()
    if isinstance(value, str):
        to.string_value = value
    else:
        to.int_value = value
