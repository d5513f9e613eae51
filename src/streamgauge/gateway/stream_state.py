"""What `GET /v1/streams/{id}` tells of a stream, running or ended. It knows no ledger and no caller."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from streamgauge.core.exchange import Exchange
from streamgauge.core.record import Status
from streamgauge.core.verdict import State

__all__ = ["ended_state", "running_state", "state_of"]

_SHOWN = (
    "status",
    "success",
    "error_code",
    "session_id",
    "repeats",
    "dialect",
    "endpoint",
    "streaming",
    "requested_model",
    "upstream",
    "upstream_model",
    "response_model",
    "attempts",
    "started_at",
    "finished_at",
    "http_status",
    "finish_reason",
    "delivered",
    "input_tokens",
    "output_tokens",
    "usage_source",
    "input_source",
    "cost_nano",
    "currency",
    "cost_source",
    "generation_tps",
    "tps_source",
    "context_percent",
    "latency_ms",
    "first_byte_ms",
    "ttft_ms",
    "stream_duration_ms",
    "frames_in",
    "frames_out",
    "bytes_in",
    "bytes_out",
)


def running_state(exchange: Exchange, now: float) -> dict[str, Any]:
    """Return what is known at `now`, monotonic seconds; the numbers are those of the row so far."""
    row = exchange.so_far(now)
    return {"id": row.id, "state": state_of(exchange)} | {
        name: getattr(row, name) for name in _SHOWN
    }


def ended_state(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a ledger's row says; while its close is on its way, the status is not yet told."""
    page = {"id": row["id"], "state": "done"} | {name: row[name] for name in _SHOWN}
    return page if row["status"] != Status.IN_FLIGHT else page | {"status": None}


def state_of(exchange: Exchange) -> str:
    """Return connecting, prefill until the first content, streaming, draining or done."""
    if exchange.state in (State.DRAINING, State.DONE):
        return exchange.state.name.lower()
    if exchange.connecting:
        return "connecting"
    return "prefill" if exchange.awaits_content else "streaming"
