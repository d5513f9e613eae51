"""JSON schemas of the admin API's answers. They are written for readers, and checked by a test."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from streamgauge.control.routes import Schema
from streamgauge.control.sums import COUNTS
from streamgauge.gateway.live import LIVE_COLUMNS
from streamgauge.ledger.rows import ATTEMPTS, REQUESTS, Kind, RowShape

__all__ = ["SCHEMAS", "array", "nullable", "record", "ref"]

_KINDS: Mapping[Kind, Schema] = {
    Kind.TEXT: {"type": ["string", "null"]},
    Kind.INTEGER: {"type": ["integer", "null"]},
    Kind.REAL: {"type": ["number", "null"]},
    Kind.FLAG: {"type": ["boolean", "null"]},
    Kind.NAMES: {"type": "array", "items": {"type": "string"}},
}


def ref(name: str) -> Schema:
    """Return a reference to one of SCHEMAS."""
    return {"$ref": f"#/components/schemas/{name}"}


def array(items: Schema) -> Schema:
    """Return the schema of a list."""
    return {"type": "array", "items": items}


def nullable(kind: str) -> Schema:
    """Return the schema of a value that may be unknown."""
    return {"type": [kind, "null"]}


def record(**fields: Schema | str) -> dict[str, Any]:
    """Return the schema of an object with these fields, all of which are there.

    A field is a schema, or a type's name with `?` behind it where it may be null.
    """
    return {
        "type": "object",
        "properties": {name: _field(field) for name, field in fields.items()},
        "required": list(fields),
    }


def _field(field: Schema | str) -> Schema:
    if not isinstance(field, str):
        return field
    return nullable(field[:-1]) if field.endswith("?") else {"type": field}


def _row(shape: RowShape, **more: Schema | str) -> dict[str, Any]:
    columns: dict[str, Schema | str] = {name: _KINDS[kind] for name, kind in shape.columns()}
    if "price" in columns:
        columns["price"] = {"type": ["object", "null"]}
    return record(**columns, **more)


_TOKENS = record(exact="integer?", estimated="integer?", unknown="integer")
_COST = record(
    exact="string?",
    exact_nano="integer?",
    estimated="string?",
    estimated_nano="integer?",
    exchanges="integer",
)
_SUM = record(
    exchanges="integer",
    successes="integer",
    failures="integer",
    **dict.fromkeys(COUNTS, _TOKENS),
    costs={"type": "object", "additionalProperties": _COST},
    unpriced="integer",
)
_LIVE_KINDS = {name: _KINDS[kind] for name, kind in REQUESTS.columns() if name in LIVE_COLUMNS}
_LIVE_ROW = record(
    **_LIVE_KINDS,
    key_label="string?",
    state={"enum": ["connecting", "prefill", "streaming", "draining", "done"]},
    age_ms="number?",
    upstream_dialect="string?",
    attempt="integer?",
    last_frame_ms="number?",
)
_TIMES = record(exchanges="integer", p50_ms="number", p95_ms="number", p99_ms="number")
_SPEEDS = record(sample="integer", p50="number", p95="number", p99="number")
_MAYBE_TIMES: Schema = {"anyOf": [_TIMES, {"type": "null"}]}
_MAYBE_SPEEDS: Schema = {"anyOf": [_SPEEDS, {"type": "null"}]}
_UPSTREAM = record(
    name="string",
    kind="string",
    base_url="string",
    circuit={"enum": ["closed", "open", "half_open"]},
    health={"enum": ["ok", "degraded", "unhealthy"]},
    reason="string?",
    usable="boolean",
    admits="boolean",
    drained="boolean",
    last_error="string?",
    in_flight="integer",
    drains="integer",
    most_drains="integer",
    slots="integer?",
    response_ms="number?",
    models=array({"type": "string"}),
    contexts=array(record(model="string?", tokens="integer?")),
    exchanges="integer",
    successes="integer",
    failures="integer",
    ttft_ms=_MAYBE_TIMES,
    stream_duration_ms=_MAYBE_TIMES,
    generation_tps=_MAYBE_SPEEDS,
    prompt_tps=_MAYBE_SPEEDS,
)
_COUNT = record(
    name="string",
    booked="integer?",
    reported="integer?",
    source="string?",
    exact="boolean",
    meaning="string?",
)
_TERM = record(name="string", tokens="integer", rate="string", currency="string?", amount="string")
_EXCHANGE_COST = record(
    booked="string?",
    booked_nano="integer?",
    currency="string?",
    source="string?",
    reason="string?",
    price="object?",
    terms=array(_TERM),
    fee="string?",
    sum="string?",
    sum_nano="integer?",
    agrees="boolean?",
    note="string?",
)
_EXCHANGE = record(
    request=ref("Row"),
    attempts=array(ref("Attempt")),
    billed=array({"enum": ["no", "perhaps", "yes", None]}),
    why="string",
    anomalies=array(record(name="string", meaning="string")),
    timeline=array(record(moment="string", ms="number?")),
    usage=array(_COUNT),
    cost=_EXCHANGE_COST,
)
_MAYBE_SUM: Schema = {"anyOf": [ref("Sum"), {"type": "null"}]}
_KEY = record(
    id="string",
    label="string",
    shown="string",
    state={"enum": ["active", "expired", "revoked"]},
    created_at="integer",
    last_used_at="integer?",
    rotated_at="integer?",
    expires_at="integer?",
    revoked_at="integer?",
    models=array({"type": "string"}),
    max_streams="integer?",
    rpm="integer?",
    tpm="integer?",
    per_day="string?",
    per_month="string?",
    day=_MAYBE_SUM,
    month=_MAYBE_SUM,
)
_SESSION = record(
    session_id="string",
    first_started_at="integer",
    last_started_at="integer",
    turns="integer",
    client_app="string?",
    key_id="string?",
    key_label="string?",
    model="string?",
    upstream="string?",
    status="string",
    in_flight=array({"type": "string"}),
    sums=_MAYBE_SUM,
)
_FINDING = record(kind="string", seq="integer", offset="integer", text="string")
_PROOF = record(
    id="string",
    protocol="string",
    witness="string",
    frames="integer",
    holds="boolean",
    findings=array(_FINDING),
    more="integer",
    notes=array({"type": "string"}),
)
_REMARK = record(subject="string", measured="string", figures="object")
_REPORT = record(
    at="integer",
    took_ms="number",
    findings=array(
        record(
            id="string",
            severity={"enum": ["error", "warning"]},
            subject="string",
            measured="string",
            figures="object",
            cure="string",
        )
    ),
    well=array(_REMARK),
    left_out=array(_REMARK),
)

SCHEMAS: Mapping[str, Schema] = MappingProxyType(
    {
        "Row": _row(REQUESTS, key_label="string?"),
        "Attempt": _row(ATTEMPTS),
        "Sum": _SUM,
        "Live": record(at="integer", streams="integer", rows=array(_LIVE_ROW)),
        "Upstream": _UPSTREAM,
        "Exchange": _EXCHANGE,
        "Key": _KEY,
        "NewKey": record(id="string", key="string", label="string"),
        "Session": _SESSION,
        "ConfigState": record(
            version="string", state="string", error="string?", problems="integer"
        ),
        "Proof": _PROOF,
        "Report": _REPORT,
        "Error": record(error=record(message="string")),
    }
)
"""Components of the OpenAPI document, by name."""
