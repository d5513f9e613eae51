"""The rate-limit headers of each dialect: their names, and how a wait is written. Keeps no limit."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

from streamgauge.core.chat import DialectName
from streamgauge.core.limit_terms import Quota, Standing

__all__ = ["RATE_LIMIT_PREFIXES", "rate_limit_headers"]

RATE_LIMIT_PREFIXES = (b"x-ratelimit-", b"anthropic-ratelimit-")
"""Who is told our limits is not told those that an upstream sets us."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MINUTE, _HOUR = 60, 3600

_Headers = tuple[tuple[bytes, bytes], ...]


def rate_limit_headers(dialect: DialectName, standing: Standing, wall: int) -> _Headers:
    """Return the headers that tell `standing`, empty where there is no limit by the minute.

    `wall`: now, in µs since the epoch. OpenAI's form for all but Anthropic's clients.
    """
    told: _Headers = ()
    for kind, quota in ((b"requests", standing.requests), (b"tokens", standing.tokens)):
        if quota is not None:
            told += (
                _anthropic(kind, quota, wall) if dialect == "anthropic" else _openai(kind, quota)
            )
    return told


def _openai(kind: bytes, quota: Quota) -> _Headers:
    return (
        (b"x-ratelimit-limit-" + kind, b"%d" % quota.limit),
        (b"x-ratelimit-remaining-" + kind, b"%d" % quota.remaining),
        (b"x-ratelimit-reset-" + kind, _duration(quota.reset)),
    )


def _anthropic(kind: bytes, quota: Quota, wall: int) -> _Headers:
    name = b"anthropic-ratelimit-" + kind
    whole = _EPOCH + timedelta(seconds=wall // 1_000_000 + math.ceil(quota.reset))
    return (
        (name + b"-limit", b"%d" % quota.limit),
        (name + b"-remaining", b"%d" % quota.remaining),
        (name + b"-reset", whole.isoformat()[:-6].encode() + b"Z"),
    )


def _duration(seconds: float) -> bytes:
    """Return `1h2m3s`, `6m0s`, `12s`, or `0s`; a wait is rounded up to whole seconds."""
    whole = math.ceil(seconds)
    if whole < _MINUTE:
        return b"%ds" % whole
    if whole < _HOUR:
        return b"%dm%ds" % divmod(whole, _MINUTE)
    return b"%dh%dm%ds" % (whole // _HOUR, whole // _MINUTE % _MINUTE, whole % _MINUTE)
