"""Reads error objects in every shape that servers send them. It knows no dialect's envelope."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from streamgauge.core.dialects.loose import clean_label, clean_text
from streamgauge.core.events import Failed

__all__ = ["MAX_MESSAGE", "NO_MESSAGE", "failure_of", "is_detail", "is_failure"]

MAX_MESSAGE = 2000
"""Longest error message passed on, in characters: enough for any reason, too little for a page."""
NO_MESSAGE = "the upstream reported an error without a message"

_HIDDEN = "[redacted]"
_KEY_LIKE = re.compile(
    r"\b(?:sk|pk|rk|gsk|hf|xai)[-_][A-Za-z0-9_*.-]{8,}"
    r"|\b[Bb]earer\s+[A-Za-z0-9._~+/=-]{8,}"
    r"|(?<=://)[^/\s:@]{1,100}:[^/\s@]{1,200}(?=@)"
)
"""What looks like a key, a token or a password in a URL: no error message may show one (S11)."""

_STATUS_OF_TYPE: Mapping[str, int] = {
    "invalid_request_error": 400,
    "exceed_context_size_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "insufficient_quota": 429,
    "server_error": 500,
    "api_error": 500,
    "not_supported_error": 501,
    "unavailable_error": 503,
    "timeout_error": 504,
    "overloaded_error": 529,
}


def is_failure(error: Any) -> bool:
    """Return whether the value of an `error` key means one: null, false and "" do not."""
    return error is not None and error is not False and error != ""


def is_detail(members: Mapping[str, Any]) -> bool:
    """Return whether an object is FastAPI's error, and nothing else: `detail` alone."""
    return len(members) == 1 and bool(members.get("detail"))


def failure_of(error: Any) -> Failed:
    """Return what `error` says: a string, or an object with any of the usual keys (WIRE §2.4).

    An envelope (`{"error": …}`, `{"type": "error", "error": …}`) is opened. The status is the
    one that a numeric code, or a known type, stands for.
    """
    if not isinstance(error, dict):
        return Failed(_message((error,)))
    inner = error.get("error")
    if isinstance(inner, dict):
        return failure_of_object(inner)
    return failure_of_object(error)


def failure_of_object(error: Mapping[str, Any]) -> Failed:
    """Return what an error object without an envelope says."""
    kind, code = _label(error.get("type")), _label(error.get("code"))
    keys = ("message", "detail", "error", "msg", "description")
    message = _message(error.get(key) for key in keys)
    blamed = error.get("param")
    param = _KEY_LIKE.sub(_HIDDEN, clean_label(blamed)) if isinstance(blamed, str) else ""
    return Failed(message, kind, code, _status(error, kind, code), param or None)


def _message(candidates: Iterable[Any]) -> str:
    """Return the first that holds text, bounded; also FastAPI's list of objects with `msg`."""
    for candidate in candidates:
        texts = candidate if isinstance(candidate, list) else [candidate]
        said = (t.get("msg", t.get("message")) if isinstance(t, dict) else t for t in texts)
        text = "; ".join(t for t in said if isinstance(t, str) and t)
        if text:
            shown = _KEY_LIKE.sub(_HIDDEN, text[: 2 * MAX_MESSAGE])
            return clean_text(shown[:MAX_MESSAGE].replace("\0", ""))
    return NO_MESSAGE


def _label(value: Any) -> str | None:
    if isinstance(value, str):
        return clean_label(value) or None
    return str(value) if type(value) is int else None


def _status(error: Mapping[str, Any], kind: str | None, code: str | None) -> int | None:
    for key in ("status", "code", "status_code"):
        number = error.get(key)
        if isinstance(number, str) and number.isascii() and number.isdigit():
            number = int(number[:4])
        if type(number) is int and 400 <= number <= 599:
            return number
    return _STATUS_OF_TYPE.get(kind or "", _STATUS_OF_TYPE.get(code or ""))
