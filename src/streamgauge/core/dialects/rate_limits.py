"""The rate-limit headers of each dialect: their names, and how a wait is written. Keeps no limit."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from streamgauge.core.chat import DialectName
from streamgauge.core.limit_terms import Quota, Standing

__all__ = ["RATE_LIMIT_PREFIXES", "rate_limit_headers"]

RATE_LIMIT_PREFIXES = (b"x-ratelimit-", b"anthropic-ratelimit-")
"""Who is told our limits is not told those that an upstream sets us."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MINUTE, _HOUR = 60, 3600


def rate_limit_headers(
    dialect: DialectName, standing: Standing, wall: int
) -> tuple[tuple[bytes, bytes], ...]:
    """Return the headers that tell `standing`, empty where there is no limit by the minute.

    `wall`: now, in µs since the epoch. OpenAI's form for all but Anthropic's clients.
    """
    told: list[tuple[str, str]] = []
    for kind, quota in (("requests", standing.requests), ("tokens", standing.tokens)):
        if quota is not None:
            told += (
                _anthropic(kind, quota, wall) if dialect == "anthropic" else _openai(kind, quota)
            )
    return tuple((name.encode(), value.encode()) for name, value in told)


def _openai(kind: str, quota: Quota) -> Iterator[tuple[str, str]]:
    yield f"x-ratelimit-limit-{kind}", str(quota.limit)
    yield f"x-ratelimit-remaining-{kind}", str(quota.remaining)
    yield f"x-ratelimit-reset-{kind}", _duration(quota.reset)


def _anthropic(kind: str, quota: Quota, wall: int) -> Iterator[tuple[str, str]]:
    name = f"anthropic-ratelimit-{kind}"
    whole = _EPOCH + timedelta(microseconds=wall, seconds=math.ceil(quota.reset))
    yield f"{name}-limit", str(quota.limit)
    yield f"{name}-remaining", str(quota.remaining)
    yield f"{name}-reset", whole.strftime("%Y-%m-%dT%H:%M:%SZ")


def _duration(seconds: float) -> str:
    """Return `1h2m3s`, `6m0s`, `12s`, or `0s`; a wait is rounded up to whole seconds."""
    whole = math.ceil(seconds)
    hours, rest = divmod(whole, _HOUR)
    minutes, left = divmod(rest, _MINUTE)
    text = f"{hours}h" if hours else ""
    text += f"{minutes}m" if minutes or hours else ""
    return f"{text}{left}s"
