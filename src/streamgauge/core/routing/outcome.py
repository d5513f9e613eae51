"""What an attempt's end tells of its upstream, for its circuit. It knows no circuit (SPEC §14.5)."""

from __future__ import annotations

from enum import Enum, auto

from streamgauge.core.record import AttemptRecord, Status

__all__ = ["Outcome", "outcome_of"]

_FAULTS = frozenset(
    {
        Status.UPSTREAM_ERROR,
        Status.UPSTREAM_TIMEOUT,
        Status.UPSTREAM_PROTOCOL_ERROR,
        Status.STREAM_INCOMPLETE,
    }
)
_OVERWORKED = frozenset({408, 425, 429})
"""It answers, and wants to be asked later: neither well nor broken."""


class Outcome(Enum):
    """How an attempt speaks for its upstream."""

    GOOD = auto()
    FAULTY = auto()
    SILENT = auto()
    """It says nothing: it was ended before any content, or the upstream has no room just now."""


def outcome_of(attempt: AttemptRecord) -> Outcome:
    """Return what a closed attempt tells: an upstream that blames the request is well.

    So is one whose answer was whole but for its end marker: nobody was told of an error. What comes
    before the first content, such as a ping, is no answer.
    """
    status = attempt.http_status
    if attempt.outcome == Status.COMPLETED:
        return Outcome.GOOD
    if attempt.outcome not in _FAULTS:
        return Outcome.SILENT if attempt.last_token_ms is None else Outcome.GOOD
    if attempt.error_code is None:
        return Outcome.GOOD
    if status is None or not 400 <= status < 500:
        return Outcome.FAULTY
    return Outcome.SILENT if status in _OVERWORKED else Outcome.GOOD
