"""Heads of our answers: SPEC §4.5's for streams, §4.6's for all, and what may pass from upstream."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from math import ceil
from time import time

from streamgauge.core.dialects.rate_limits import RATE_LIMIT_PREFIXES, rate_limit_headers
from streamgauge.core.errors import ErrorCode
from streamgauge.core.limit_terms import Standing
from streamgauge.core.record import ExchangeRecord
from streamgauge.core.refusal import redacted_bytes
from streamgauge.gateway.http import Header

__all__ = [
    "JSON_HEADERS",
    "NOT_AGAIN",
    "answer_headers",
    "from_upstream",
    "lossy_headers",
    "retry_after",
    "seconds_of",
    "stream_headers",
]

_EVENTS: Header = (b"content-type", b"text/event-stream; charset=utf-8")
_LINES: Header = (b"content-type", b"application/x-ndjson")
_STREAM: tuple[Header, ...] = (
    (b"cache-control", b"no-cache, no-store, must-revalidate, max-age=0, no-transform"),
    (b"pragma", b"no-cache"),
    (b"expires", b"0"),
    (b"x-accel-buffering", b"no"),
)
JSON_HEADERS: tuple[Header, ...] = (
    (b"content-type", b"application/json"),
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
)
NOT_AGAIN: Header = (b"x-should-retry", b"false")
"""Says that a repeat would fail as well. The vendors' libraries obey it, which else repeat every 409,
429 and 5xx, and so does Claude Code, which else repeats a 401 again and again before it shows it."""
_PASSED_PREFIXES = (b"x-ratelimit-", b"openai-", b"anthropic-")
MAX_RETRY_AFTER = 60
"""Seconds: a longer wait is cut to this (SPEC §5.5)."""


def from_upstream(
    headers: Sequence[Header],
    limits: Sequence[Header] = (),
    secrets: Collection[str] = (),
) -> list[Header]:
    """Return the upstream's headers that pass: rate limits and the vendors' own (SPEC §4.6).

    `limits`: those of the client's key, which stand in the place of what an upstream sets us.
    `secrets`: what no client is to read, such as that upstream's key (FAULTS S11).
    """
    passed = [(n, redacted_bytes(v, secrets)) for n, v in headers if n.startswith(_PASSED_PREFIXES)]
    if limits:
        if passed:
            passed = [(n, v) for n, v in passed if not n.startswith(RATE_LIMIT_PREFIXES)]
        passed += limits
    return passed


def retry_after(value: str | None) -> str | None:
    """Return a `retry-after` of whole seconds, rounded up and capped; None where it says nothing."""
    seconds = None if value is None else seconds_of(value, MAX_RETRY_AFTER)
    return None if seconds is None else str(ceil(seconds))


def seconds_of(value: str, longest: float) -> float | None:
    """Return the seconds of a `retry-after`, at most `longest`; None where it says nothing.

    It is a number or a date (RFC 9110 §10.2.3); one that has passed is 0.
    """
    try:
        seconds = float(value)
    except ValueError:
        return _seconds_until(value, longest)
    return min(seconds, longest) if seconds >= 0 else None


def _seconds_until(date: str, longest: float) -> float | None:
    from email.utils import parsedate_to_datetime  # takes 15 ms to import, and is hardly needed

    try:
        moment = parsedate_to_datetime(date)
    except (ValueError, OverflowError):  # the second where a number in it is larger than C's
        return None
    if moment.tzinfo is None:
        return None  # a date of HTTP says GMT
    return min(max(0.0, moment.timestamp() - time()), longest)


def _ours(first: Sequence[Header], record: ExchangeRecord, history: Sequence[str]) -> list[Header]:
    request_id = record.id.encode()
    headers: list[Header] = [
        *first,
        (b"x-request-id", request_id),
        (b"request-id", request_id),
        (b"x-streamgauge-stream-id", request_id),
        (b"x-streamgauge-streaming", b"true" if record.streaming else b"false"),
    ]
    if record.upstream:
        headers.append((b"x-streamgauge-upstream", record.upstream.encode("ascii", "replace")))
    if model := record.upstream_model:
        headers.append((b"x-streamgauge-model", model.encode("ascii", "replace")))
    if record.route:
        headers.append((b"x-streamgauge-route", record.route.encode("ascii", "replace")))
    if history and record.attempts:
        tried = f"1/{history[0]}" if len(history) == 1 else _history(history)
        headers.append((b"x-streamgauge-attempts", tried.encode("ascii", "replace")))
    return headers


def _history(history: Sequence[str]) -> str:
    """Return `2/alpha, 1/beta`: how often each upstream was tried, in order of the first try."""
    return ", ".join(f"{history.count(name)}/{name}" for name in dict.fromkeys(history))


def stream_headers(
    record: ExchangeRecord,
    history: Sequence[str],
    upstream: Sequence[Header],
    standing: Standing | None = None,
    secrets: Collection[str] = (),
) -> list[Header]:
    """Return the head of a stream. `standing`: of its key's limits; `secrets`: as in `from_upstream`."""
    kind, limits = _LINES if record.dialect == "simple" else _EVENTS, _limits(record, standing)
    return _ours((kind, *_STREAM), record, history) + from_upstream(upstream, limits, secrets)


def _limits(record: ExchangeRecord, standing: Standing | None) -> Sequence[Header]:
    if standing is None:
        return ()
    return rate_limit_headers(record.dialect, standing, record.started_at)


def lossy_headers(lost: Sequence[str]) -> list[Header]:
    """Return what says what a translation could not carry, each name once (SPEC §13.3)."""
    if not lost:
        return []
    names = ", ".join(dict.fromkeys(lost))
    return [(b"x-streamgauge-lossy", names.encode("ascii", "replace"))]


def answer_headers(
    record: ExchangeRecord,
    history: Sequence[str],
    upstream: Sequence[Header],
    retry: str | None,
    standing: Standing | None = None,
    secrets: Collection[str] = (),
) -> list[Header]:
    """Return the head of a JSON answer or an error. `standing`, `secrets`: as in `stream_headers`."""
    headers = _ours(JSON_HEADERS, record, history)
    headers += from_upstream(upstream, _limits(record, standing), secrets)
    if record.latency_ms is not None:
        headers.append((b"x-streamgauge-latency-ms", f"{record.latency_ms:.1f}".encode()))
    if record.cost_nano is not None and record.currency is not None:
        whole, part = divmod(record.cost_nano, 10**9)
        cost = f"{whole}.{part:09d} {record.currency}"
        headers.append((b"x-streamgauge-cost", cost.encode("ascii", "replace")))
    if retry is not None:
        headers.append((b"retry-after", retry.encode("ascii")))
    if record.error_code == ErrorCode.UPSTREAM_AUTH and record.http_status == 502:
        headers.append(NOT_AGAIN)  # it was a 401, which nobody repeats as they do a 502
    return headers
