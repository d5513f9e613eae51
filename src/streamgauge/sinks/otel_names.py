"""What OpenTelemetry's GenAI conventions call the columns of a row. Knows no SDK."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["ATTRIBUTES", "operation_of"]

ATTRIBUTES: Mapping[str, str] = {
    "upstream": "gen_ai.provider.name",
    "upstream_model": "gen_ai.request.model",
    "response_model": "gen_ai.response.model",
    "finish_reason": "gen_ai.response.finish_reasons",
    "session_id": "gen_ai.conversation.id",
    "input_tokens": "gen_ai.usage.input_tokens",
    "output_tokens": "gen_ai.usage.output_tokens",
    "cache_read_tokens": "gen_ai.usage.cache_read.input_tokens",
    "cache_write_tokens": "gen_ai.usage.cache_creation.input_tokens",
    "http_status": "http.response.status_code",
    "id": "streamgauge.id",
    "requested_model": "streamgauge.requested_model",
    "dialect": "streamgauge.dialect",
    "status": "streamgauge.status",
    "error_code": "streamgauge.error_code",
    "usage_source": "streamgauge.usage_source",
    "input_source": "streamgauge.input_source",
    "cost_nano": "streamgauge.cost_nano",
    "currency": "streamgauge.currency",
    "ttft_ms": "streamgauge.ttft_ms",
    "gap_p95_ms": "streamgauge.gap_p95_ms",
    "attempts": "streamgauge.attempts",
}
"""Column of `requests`: attribute of its span. What the conventions have no name for keeps its own."""

_OPERATIONS: Mapping[str | None, str] = {
    "completions": "text_completion",
    "embeddings": "embeddings",
}


def operation_of(endpoint: str | None) -> str:
    """Return `gen_ai.operation.name` of an exchange at `endpoint`."""
    return _OPERATIONS.get(endpoint, "chat")
