"""What the ledger keeps of one exchange and of each attempt. The field names are SPEC §8.3's contract."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

__all__ = ["Anomaly", "AttemptRecord", "Delivered", "Disposition", "ExchangeRecord", "Status"]


class Status(StrEnum):
    """How an exchange ended (SPEC §5.1); `in_flight` until it has."""

    IN_FLIGHT = "in_flight"
    COMPLETED = "completed"
    CLIENT_DISCONNECTED = "client_disconnected"
    CANCELLED = "cancelled"
    SUPERSEDED = "superseded"
    LIMIT_REACHED = "limit_reached"
    UPSTREAM_ERROR = "upstream_error"
    UPSTREAM_TIMEOUT = "upstream_timeout"
    STREAM_INCOMPLETE = "stream_incomplete"
    UPSTREAM_PROTOCOL_ERROR = "upstream_protocol_error"
    REJECTED = "rejected"
    SHUTDOWN = "shutdown"
    GATEWAY_CRASH = "gateway_crash"


class Delivered(StrEnum):
    """How much of the answer was handed to the client's socket."""

    ALL = "all"
    PART = "part"
    NONE = "none"


class Disposition(StrEnum):
    """What became of the upstream's answer."""

    READ_TO_END = "read_to_end"
    DRAINED = "drained"
    DRAIN_CAPPED = "drain_capped"
    CANCELLED = "cancelled"


class Anomaly(StrEnum):
    """Oddities noted on the row, a closed list (SPEC §5.6)."""

    FINISHED_WITHOUT_MARKER = "finished_without_marker"
    MISSING_LAST_CHUNK = "missing_last_chunk"
    SECOND_MARKER = "second_marker"
    DATA_AFTER_MARKER = "data_after_marker"
    USAGE_AFTER_MARKER = "usage_after_marker"
    USAGE_REFUSED = "usage_refused"
    USAGE_MISMATCH = "usage_mismatch"
    USAGE_DECREASED = "usage_decreased"
    SUSPECT_USAGE = "suspect_usage"
    PARTIAL_USAGE = "partial_usage"
    OVERSIZE_LINE = "oversize_line"
    OVERSIZE_FRAME = "oversize_frame"
    BAD_JSON = "bad_json"
    METER_ERROR = "meter_error"
    REPLAY_SUSPECTED = "replay_suspected"
    MODEL_CHANGED = "model_changed"
    BOM_REMOVED = "bom_removed"
    SLOW_READER = "slow_reader"
    DRAIN_CAPPED = "drain_capped"
    TYPE_MISMATCH = "type_mismatch"
    EMPTY_ANSWER = "empty_answer"
    BAD_TOOL_JSON = "bad_tool_json"
    LOOP_LAG = "loop_lag"
    CLOCK_JUMP = "clock_jump"


@dataclass(slots=True)
class AttemptRecord:
    """One try at one upstream. Field order is the ledger's column order; None is unknown.

    `*_at` in µs since the epoch; `*_ms` in milliseconds since the exchange was accepted. To SPEC
    §8.3's columns are added: `connected_ms`, when a socket to the upstream was ready, a reused one
    taken; `last_token_ms`, its last content in a stream; `usage_ms`, the last frame or body that
    stated usage or timings.
    """

    request_id: str
    n: int
    upstream: str
    dialect: str
    model: str | None = None
    started_at: int | None = None
    finished_at: int | None = None
    http_status: int | None = None
    outcome: str | None = None
    error_code: str | None = None
    first_byte_ms: float | None = None
    may_have_been_billed: bool | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    connected_ms: float | None = None
    last_token_ms: float | None = None
    usage_ms: float | None = None


@dataclass(slots=True)
class ExchangeRecord:
    """One client request with all its attempts. Field order is the ledger's column order.

    Counts in tokens, frames, bytes; `*_ms` in milliseconds; `*_at` in µs since the epoch;
    `cost_nano` in nano-units of `currency`. None is unknown, never zero.
    """

    id: str
    owner: str
    started_at: int
    finished_at: int | None = None
    client_request_id: str | None = None
    key_id: str | None = None
    session_id: str | None = None
    repeats: str | None = None
    client_app: str | None = None
    dialect: str | None = None
    endpoint: str | None = None
    streaming: bool | None = None
    requested_model: str | None = None
    upstream: str | None = None
    upstream_model: str | None = None
    response_model: str | None = None
    route: str | None = None
    status: Status = Status.IN_FLIGHT
    success: bool | None = None
    error_code: str | None = None
    error_message: str | None = None
    http_status: int | None = None
    finish_reason: str | None = None
    finish_normal: str | None = None
    delivered: Delivered | None = None
    disposition: Disposition | None = None
    drain_ms: float | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None
    usage_source: str | None = None
    input_source: str | None = None
    prompt_tps: float | None = None
    prompt_ms: float | None = None
    generation_tps: float | None = None
    generation_ms: float | None = None
    tps_source: str | None = None
    context_used: int | None = None
    context_total: int | None = None
    context_percent: float | None = None
    cost_nano: int | None = None
    currency: str | None = None
    cost_source: str | None = None
    cost_reason: str | None = None
    price: str | None = None
    service_tier: str | None = None
    latency_ms: float | None = None
    first_byte_ms: float | None = None
    ttft_ms: float | None = None
    stream_duration_ms: float | None = None
    gap_p50_ms: float | None = None
    gap_p95_ms: float | None = None
    gap_max_ms: float | None = None
    stalls: int | None = None
    overhead_us: float | None = None
    frames_in: int | None = None
    frames_out: int | None = None
    bytes_in: int | None = None
    bytes_out: int | None = None
    stream_sha1: str | None = None
    anomalies: list[str] = field(default_factory=list)
    attempts: int | None = None
    config_version: str | None = None
