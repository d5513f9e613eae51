"""An upstream's error answer: what it says, and what the client is told of it (SPEC §3.7, §5.5)."""

from __future__ import annotations

from dataclasses import dataclass

from streamgauge.core.dialects.failures import failure_of
from streamgauge.core.dialects.loose import load
from streamgauge.core.errors import ErrorCode, GatewayError

__all__ = ["UpstreamRefusal", "UpstreamStatusError", "error_of_answer", "mapped_error"]

_KEPT = frozenset({400, 402, 404, 408, 409, 413, 422, 429, *range(500, 600)})


@dataclass(frozen=True, slots=True)
class UpstreamRefusal:
    """What an error answer says. `json` is False for a page: then the message is ours."""

    message: str
    type: str | None = None
    code: str | None = None
    json: bool = True
    param: str | None = None


class UpstreamStatusError(GatewayError):
    """An upstream's error as the client is told it. `upstream_type`: the error type as sent."""

    def __init__(
        self,
        status: int,
        code: ErrorCode,
        message: str,
        *,
        upstream_type: str | None = None,
        param: str | None = None,
    ) -> None:
        super().__init__(status, code, message, param=param)
        self.upstream_type = upstream_type


def error_of_answer(status: int, content_type: str | None, body: bytes) -> UpstreamRefusal:
    """Return what an error answer says, whatever dialect it is in; a page's text is never kept.

    Gemini's API for OpenAI's clients puts the error into a list, alone.
    """
    loaded = load(body)
    said = None if loaded is None else loaded.value
    if isinstance(said, list) and len(said) == 1:
        said = said[0]
    if not isinstance(said, dict | str):
        kind = (content_type or "no content type").partition(";")[0].strip()[:80]
        message = f"the upstream answered with status {status} and no JSON ({kind})"
        return UpstreamRefusal(message, json=False)
    failed = failure_of(said)
    return UpstreamRefusal(failed.message, failed.type, failed.code, param=failed.param)


def mapped_error(
    status: int, refusal: UpstreamRefusal, *, pass_through_auth: bool = False
) -> GatewayError:
    """Return the error that the client is told for an upstream's answer (SPEC §5.5).

    The message of a kept status has lost what looks like a key; secrets known by value are the
    caller's to remove.
    """
    message, kind = refusal.message, refusal.type
    if status in (401, 403):
        if pass_through_auth:
            code = ErrorCode.UPSTREAM_AUTH
            return UpstreamStatusError(
                status, code, message, upstream_type=kind, param=refusal.param
            )
        message = f"the upstream refused the gateway's credentials with status {status}"
        return UpstreamStatusError(502, ErrorCode.UPSTREAM_AUTH, message)
    if refusal.json and status in _KEPT:
        code = ErrorCode.UPSTREAM_ERROR
        return UpstreamStatusError(status, code, message, upstream_type=kind, param=refusal.param)
    if 300 <= status <= 399:
        message = f"the upstream answered with a redirect ({status}), which is not followed"
    elif status < 300:
        message = f"the upstream answered with status {status}, which is no answer"
        return UpstreamStatusError(502, ErrorCode.UPSTREAM_PROTOCOL_ERROR, message)
    return UpstreamStatusError(502, ErrorCode.UPSTREAM_ERROR, message)
