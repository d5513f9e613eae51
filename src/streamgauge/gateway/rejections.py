"""Answers that we give without an upstream: refusals in the path's dialect, and their rows."""

from __future__ import annotations

from collections.abc import Sequence

from streamgauge.core.chat import ENDPOINTS
from streamgauge.core.dialects.registry import DIALECTS
from streamgauge.core.errors import ErrorCode, GatewayError
from streamgauge.core.pricing import CostReason
from streamgauge.core.record import Delivered, ExchangeRecord, Status
from streamgauge.gateway.endpoints import Route, dialect_name, find_endpoint
from streamgauge.gateway.http import Header
from streamgauge.gateway.response_headers import JSON_HEADERS

__all__ = ["refusal", "row_of"]

_SOON = frozenset({ErrorCode.OVERLOADED, ErrorCode.LEDGER_UNAVAILABLE, ErrorCode.SERVER_SHUTDOWN})
"""What may have passed in a second."""


def refusal(
    path: str | None, error: GatewayError, request_id: str, name: str | None = None
) -> tuple[int, Sequence[Header], bytes]:
    """Return status, headers and body of `error` in dialect `name`, else in what `path` looks like."""
    dialect = DIALECTS[dialect_name(path) if name is None else name]
    request_header = request_id.encode()
    headers: list[Header] = [
        *JSON_HEADERS,
        (b"x-request-id", request_header),
        (b"request-id", request_header),
    ]
    if error.status == 401:  # RFC 9110 §15.5.2 asks for it
        headers.append((b"www-authenticate", b"Bearer"))
    if error.retry_after is not None:
        headers.append((b"retry-after", b"%d" % error.retry_after))
    elif error.status == 503 and error.code in _SOON:  # a fault of ours is no matter of waiting
        headers.append((b"retry-after", b"1"))
    headers += error.headers
    return dialect.error_status(error), headers, dialect.error_body(error, request_id)


def row_of(path: str | None, request_id: str, owner: str, now_us: int) -> ExchangeRecord | None:
    """Return the single row of a request that no upstream was called for: `rejected`, without why.

    None for paths that leave none (SPEC §8.1).
    """
    endpoint = None if path is None else find_endpoint(path)
    if endpoint is None or endpoint.route is not Route.METERED:
        return None
    return ExchangeRecord(
        id=request_id,
        owner=owner,
        started_at=now_us,
        finished_at=now_us,
        dialect=ENDPOINTS[endpoint.name],
        endpoint=endpoint.name,
        status=Status.REJECTED,
        success=False,
        delivered=Delivered.NONE,
        usage_source="none",
        input_source="none",
        tps_source="none",
        cost_reason=CostReason.USAGE_UNKNOWN.value,
        attempts=0,
    )
