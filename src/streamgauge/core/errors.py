"""Failures by whose fault they are, each with a stable code and an HTTP status (SPEC §5.5)."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["ErrorCode", "GatewayError", "RequestError"]


class ErrorCode(StrEnum):
    """The closed list of codes that clients and rows see (SPEC §5.5)."""

    STREAM_CANCELLED = "stream_cancelled"
    SERVER_SHUTDOWN = "server_shutdown"
    LIMIT_REACHED = "limit_reached"
    UPSTREAM_ERROR = "upstream_error"
    UPSTREAM_TIMEOUT = "upstream_timeout"
    UPSTREAM_AUTH = "upstream_auth"
    UPSTREAM_PROTOCOL_ERROR = "upstream_protocol_error"
    STREAM_INCOMPLETE = "stream_incomplete"
    NO_ROUTE = "no_route"
    BAD_REQUEST = "bad_request"
    BAD_HTTP = "bad_http"
    UNAUTHORIZED = "unauthorized"
    OVERLOADED = "overloaded"
    LEDGER_UNAVAILABLE = "ledger_unavailable"


class GatewayError(Exception):
    """A failure that the client is told of: HTTP `status`, `code`, and a message without secrets.

    `retry_after`: whole seconds after which another try makes sense, where that is known.
    """

    def __init__(
        self,
        status: int,
        code: ErrorCode,
        message: str,
        *,
        param: str | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.status = status
        self.code = code
        self.message = message
        self.param = param
        self.headers: tuple[tuple[bytes, bytes], ...] = ()


class RequestError(GatewayError):
    """The client's fault: nothing was sent upstream."""

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        code: ErrorCode = ErrorCode.BAD_REQUEST,
        param: str | None = None,
    ) -> None:
        super().__init__(status, code, message, param=param)
