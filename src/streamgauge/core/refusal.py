"""What an upstream's refusal becomes for the client: mapped, in our words' shape, without secrets."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from string import ascii_letters, digits
from urllib.parse import quote

import msgspec

from streamgauge.core.answer import Answer
from streamgauge.core.attempt import Attempt
from streamgauge.core.dialects.refusals import error_of_answer, mapped_error
from streamgauge.core.errors import ErrorCode, GatewayError
from streamgauge.core.events import Failed

__all__ = [
    "error_of",
    "error_of_stream",
    "is_own_shape",
    "names_option",
    "names_signature",
    "redacted",
    "redacted_bytes",
    "spellings",
]

_OPTIONS = (b"stream_options", b"include_usage", b"continuous_usage_stats", b"timings_per_token")
_REPLACEMENT = "[redacted]"
_SHORTEST_SECRET = 6
"""A shorter «secret» is a placeholder, and replacing it would eat words."""
_NEVER_ESCAPED = frozenset(ascii_letters + digits + "-._~")
"""By no JSON encoder, and in no URL (RFC 3986 §2.3)."""


def names_option(body: bytes) -> bool:
    """Return whether a 400's body blames an option that we added (SPEC §3.2)."""
    return any(option in body for option in _OPTIONS)


def names_signature(body: bytes) -> bool:
    """Return whether a 400's body blames the signature of reasoning in the history, or hidden one."""
    return b"thinking" in body and (
        b"signature" in body or (b"redacted_thinking" in body and b"`data`" in body)
    )


def redacted(text: str, secrets: Iterable[str]) -> str:
    """Return `text` with every known secret replaced, however it is spelt (FAULTS S11)."""
    hidden = _hidden(secrets)
    return re.sub(hidden, _REPLACEMENT, text) if hidden else text


def redacted_bytes(frame: bytes, secrets: Iterable[str]) -> bytes:
    """Return a frame with every known secret replaced, every other byte as received."""
    escapes = b"\\" in frame or b"%" in frame
    if not escapes and not any(secret.encode() in frame for secret in secrets):
        return frame  # a pattern is not made for nothing
    hidden = _hidden(secrets)
    return re.sub(hidden.encode(), _REPLACEMENT.encode(), frame) if hidden else frame


def _hidden(secrets: Iterable[str]) -> str:
    known = sorted({each for each in secrets if len(each) >= _SHORTEST_SECRET}, key=len)
    return "|".join(map(spellings, reversed(known)))


def spellings(secret: str) -> str:
    """Return a pattern of `secret` as it is, within JSON, within JSON's text in JSON, and in a URL.

    Who echoes a key may escape what is in it: `/` as `\\/`, `+` as `\\u002b` or `%2B`.
    """
    return "".join(map(_spellings_of, secret))


def _spellings_of(letter: str) -> str:
    if letter in _NEVER_ESCAPED:
        return re.escape(letter)
    units = letter.encode("utf-16-be", "surrogatepass").hex(" ", 2).split()
    once = {"\\" + letter, "".join(f"\\u{unit}" for unit in units)}
    twice = {each.replace("\\", r"\\").replace('"', r"\"") for each in once}
    url = quote(letter.encode("utf-8", "surrogatepass"), safe="")
    # The longest first: of an escaped backslash no half may stay, it would escape what follows.
    found = sorted({letter, url} | once | twice, key=lambda each: (-len(each), each))
    return f"(?i:{'|'.join(map(re.escape, found))})"


def error_of(answer: Answer, attempt: Attempt) -> GatewayError:
    """Return the client's error for an upstream's error status (SPEC §5.5)."""
    said = error_of_answer(answer.status, answer.content_type, answer.body)
    refusal = replace(
        said,
        message=redacted(said.message, attempt.secrets),
        type=said.type and redacted(said.type, attempt.secrets),
        param=said.param and redacted(said.param, attempt.secrets),
    )
    return mapped_error(answer.status, refusal, pass_through_auth=attempt.pass_through_auth)


def is_own_shape(dialect: str, payload: bytes) -> bool:
    """Return whether an error frame already is what clients of `dialect` expect (SPEC §3.7).

    llama.cpp's `/v1/messages` sends the bare object without Anthropic's envelope, others a named
    event that holds only a message.
    """
    try:
        loaded = msgspec.json.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    if not isinstance(loaded, dict):
        return False
    if dialect == "anthropic":
        return loaded.get("type") == "error" and isinstance(loaded.get("error"), dict)
    if loaded.get("type") in ("error", "response.failed"):  # the Responses API's own two
        return True
    return isinstance(loaded.get("error"), dict | str)


def error_of_stream(failure: Failed | None, attempt: Attempt) -> GatewayError:
    """Return the client's error for an error object inside an answer."""
    status = None if failure is None else failure.status
    message = "the upstream reported an error" if failure is None else failure.message
    http = status if status is not None and 400 <= status <= 599 else 502
    if http in (401, 403) and not attempt.pass_through_auth:
        return GatewayError(502, ErrorCode.UPSTREAM_AUTH, redacted(message, attempt.secrets))
    param = None if failure is None else failure.param
    return GatewayError(
        http,
        ErrorCode.UPSTREAM_ERROR,
        redacted(message, attempt.secrets),
        param=None if param is None else redacted(param, attempt.secrets),
    )
