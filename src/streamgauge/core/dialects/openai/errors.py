"""OpenAI's error bodies and frames (SPEC §5.5)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from streamgauge.core.dialects.framing import json_bytes, json_frame
from streamgauge.core.dialects.refusals import UpstreamStatusError
from streamgauge.core.errors import GatewayError

__all__ = ["error_body", "error_frame"]

_TYPES: Mapping[int, str] = {
    401: "authentication_error",
    402: "insufficient_quota",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}


def error_body(error: GatewayError) -> bytes:
    """Return the JSON body; an upstream's own `type` stays, the code is from our closed list."""
    return json_bytes({"error": _error(error)})


def error_frame(error: GatewayError, endpoint: str) -> bytes:
    """Return the frame that ends a stream: openai-python raises on its `error` key."""
    if endpoint == "responses":
        told = {"message": error.message, "code": error.code.value, "param": error.param}
        return json_frame({"type": "error", **told, "error": _error(error)}, b"error")
    return json_frame({"error": _error(error)})


def _error(error: GatewayError) -> dict[str, Any]:
    kind = error.upstream_type if isinstance(error, UpstreamStatusError) else None
    return {
        "message": error.message,
        "type": kind or _type(error.status),
        "param": error.param,
        "code": error.code.value,
    }


def _type(status: int) -> str:
    return _TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")
