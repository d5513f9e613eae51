"""The rate-limit headers of each dialect: their names, and how a wait is written. Keeps no limit."""

from __future__ import annotations

from datetime import date
from functools import lru_cache

from streamgauge.core.limit_terms import Standing

__all__ = ["RATE_LIMIT_PREFIXES", "rate_limit_headers"]

RATE_LIMIT_PREFIXES = (b"x-ratelimit-", b"anthropic-ratelimit-")
"""Who is told our limits is not told those that an upstream sets us."""

_EPOCH = date(1970, 1, 1).toordinal()
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400

_Headers = tuple[tuple[bytes, bytes], ...]


def rate_limit_headers(dialect: str | None, standing: Standing, wall: int) -> _Headers:
    """Return the headers that tell `standing`, empty where there is no limit by the minute.

    `wall`: now, in µs since the epoch. OpenAI's form for all but Anthropic's clients.
    """
    if dialect == "anthropic":
        return _anthropic(standing, wall // 1_000_000)
    told: _Headers = ()
    if (rpm := standing.rpm) is not None:
        told = (
            (b"x-ratelimit-limit-requests", b"%d" % rpm),
            (b"x-ratelimit-remaining-requests", b"%d" % standing.requests_left),
            (b"x-ratelimit-reset-requests", _duration(standing.requests_reset)),
        )
    if (tpm := standing.tpm) is not None:
        told += (
            (b"x-ratelimit-limit-tokens", b"%d" % tpm),
            (b"x-ratelimit-remaining-tokens", b"%d" % standing.tokens_left),
            (b"x-ratelimit-reset-tokens", _duration(standing.tokens_reset)),
        )
    return told


def _anthropic(standing: Standing, second: int) -> _Headers:
    told: _Headers = ()
    if (rpm := standing.rpm) is not None:
        told = (
            (b"anthropic-ratelimit-requests-limit", b"%d" % rpm),
            (b"anthropic-ratelimit-requests-remaining", b"%d" % standing.requests_left),
            (b"anthropic-ratelimit-requests-reset", _moment(second + standing.requests_reset)),
        )
    if (tpm := standing.tpm) is not None:
        told += (
            (b"anthropic-ratelimit-tokens-limit", b"%d" % tpm),
            (b"anthropic-ratelimit-tokens-remaining", b"%d" % standing.tokens_left),
            (b"anthropic-ratelimit-tokens-reset", _moment(second + standing.tokens_reset)),
        )
    return told


def _moment(second: int) -> bytes:
    day, rest = divmod(second, _DAY)
    return b"%bT%02d:%02d:%02dZ" % (_date(day), rest // _HOUR, rest // _MINUTE % 60, rest % 60)


@lru_cache(maxsize=4)
def _date(day: int) -> bytes:
    """Return the date that lies `day` days behind the epoch: nearly always the same."""
    return date.fromordinal(_EPOCH + day).isoformat().encode()


@lru_cache(maxsize=128)
def _duration(seconds: int) -> bytes:
    """Return `1h2m3s`, `6m0s`, `12s`, or `0s`; a limit by the minute has but sixty-two of them."""
    if seconds < _MINUTE:
        return b"%ds" % seconds
    if seconds < _HOUR:
        return b"%dm%ds" % divmod(seconds, _MINUTE)
    return b"%dh%dm%ds" % (seconds // _HOUR, seconds // _MINUTE % _MINUTE, seconds % _MINUTE)
