"""Anthropic's error bodies and frames (WIRE §4.6, SPEC §5.5)."""

from __future__ import annotations

from collections.abc import Mapping

from streamgauge.core.dialects.framing import json_bytes, json_frame
from streamgauge.core.dialects.refusals import UpstreamStatusError
from streamgauge.core.errors import ErrorCode, GatewayError

__all__ = ["error_body", "error_frame", "error_status"]

OVERLOADED = 529
"""Anthropic's own status for overload, which its clients wait on."""
_SHED = frozenset({ErrorCode.OVERLOADED, ErrorCode.LEDGER_UNAVAILABLE})
_TYPES: Mapping[int, str] = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    504: "timeout_error",
    OVERLOADED: "overloaded_error",
}
_KNOWN = frozenset(_TYPES.values())


def error_status(error: GatewayError) -> int:
    """Return the HTTP status: where we send nothing upstream just now, it is 529 in this dialect."""
    # An upstream's own 503 keeps its status. When to come back is known of an open circuit only.
    waits = error.code is ErrorCode.UPSTREAM_ERROR and error.retry_after is not None
    shed = waits or error.code in _SHED
    return OVERLOADED if error.status == 503 and shed else error.status


def error_body(error: GatewayError, request_id: str) -> bytes:
    """Return the JSON body, with our code beside Anthropic's members."""
    return json_bytes(_envelope(error, request_id))


def error_frame(error: GatewayError, request_id: str) -> bytes:
    """Return the `error` event that ends a stream; no `message_stop` follows."""
    return json_frame(_envelope(error, request_id), b"error")


def _envelope(error: GatewayError, request_id: str) -> dict[str, object]:
    told = {"type": _type(error), "message": error.message, "code": error.code.value}
    return {"type": "error", "error": told, "request_id": request_id}


def _type(error: GatewayError) -> str:
    if isinstance(error, UpstreamStatusError) and error.upstream_type in _KNOWN:
        return error.upstream_type
    status = error_status(error)
    return _TYPES.get(status, "api_error" if status >= 500 else "invalid_request_error")
