"""The rate-limit headers of each dialect: their names, and how a wait is written. Keeps no limit."""

from __future__ import annotations

import math
from datetime import date
from functools import lru_cache

from streamgauge.core.chat import DialectName
from streamgauge.core.limit_terms import Standing

__all__ = ["RATE_LIMIT_PREFIXES", "rate_limit_headers"]

RATE_LIMIT_PREFIXES = (b"x-ratelimit-", b"anthropic-ratelimit-")
"""Who is told our limits is not told those that an upstream sets us."""

_EPOCH = date(1970, 1, 1).toordinal()
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400

_Headers = tuple[tuple[bytes, bytes], ...]


_WHAT = (b"limit", b"remaining", b"reset")
_KINDS = (b"requests", b"tokens")
_OPENAI = tuple([b"x-ratelimit-%b-%b" % (what, kind) for what in _WHAT] for kind in _KINDS)
_ANTHROPIC = tuple(
    [b"anthropic-ratelimit-%b-%b" % (kind, what) for what in _WHAT] for kind in _KINDS
)
"""The three headers of each limit."""


def rate_limit_headers(dialect: DialectName, standing: Standing, wall: int) -> _Headers:
    """Return the headers that tell `standing`, empty where there is no limit by the minute.

    `wall`: now, in µs since the epoch. OpenAI's form for all but Anthropic's clients.
    """
    anthropic = dialect == "anthropic"
    requests, tokens = _ANTHROPIC if anthropic else _OPENAI
    told: _Headers = ()
    for (limit, remaining, reset), quota in (
        (requests, standing.requests),
        (tokens, standing.tokens),
    ):
        if quota is not None:
            wait = math.ceil(quota.reset)
            if anthropic:
                text = _moment(wall // 1_000_000 + wait)
            else:
                text = _SHORT[wait] if wait < len(_SHORT) else _duration(wait)
            told += (
                (limit, b"%d" % quota.limit),
                (remaining, b"%d" % quota.remaining),
                (reset, text),
            )
    return told


def _moment(second: int) -> bytes:
    day, rest = divmod(second, _DAY)
    return b"%bT%02d:%02d:%02dZ" % (_date(day), rest // _HOUR, rest // _MINUTE % 60, rest % 60)


@lru_cache(maxsize=4)
def _date(day: int) -> bytes:
    """Return the date that lies `day` days behind the epoch: nearly always the same."""
    return date.fromordinal(_EPOCH + day).isoformat().encode()


def _duration(whole: int) -> bytes:
    """Return `1h2m3s`, `6m0s`, `12s`, or `0s`."""
    if whole < _MINUTE:
        return b"%ds" % whole
    if whole < _HOUR:
        return b"%dm%ds" % divmod(whole, _MINUTE)
    return b"%dh%dm%ds" % (whole // _HOUR, whole // _MINUTE % _MINUTE, whole % _MINUTE)


_SHORT = tuple(map(_duration, range(_MINUTE + 2)))
"""All that a limit by the minute ever tells."""
