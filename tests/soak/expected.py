"""What a call of a soak may end with: statuses and anomalies, by what was done to it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from .calls import Call, Way
from .extras import FINAL

__all__ = ["Expectation", "expectation"]

_MACHINE = frozenset({"loop_lag"})
"""Noted when the machine itself stalls, which nobody injects and nobody can rule out."""


@dataclass(frozen=True, slots=True)
class Expectation:
    """`must` be noted when the status is one of `noted_when`, `may` be noted at any."""

    statuses: frozenset[str]
    must: frozenset[str] = frozenset()
    may: frozenset[str] = _MACHINE
    noted_when: frozenset[str] = frozenset({"completed"})


def _of(statuses: str, must: str = "", may: str = "") -> Expectation:
    return Expectation(
        frozenset(statuses.split()), frozenset(must.split()), _MACHINE | frozenset(may.split())
    )


_WHOLE = _of("completed")
_STREAMED = {
    "cut": _of("stream_incomplete"),
    "cut_before_done": _of("stream_incomplete"),
    # A reset may overtake the bytes before it.
    "reset": _of("stream_incomplete upstream_error"),
    "stall": _of("upstream_timeout"),
    "first_token_stall": _of("upstream_timeout"),
    "ping_only": _of("upstream_timeout"),
    "stall_head": _of("upstream_timeout"),
    "no_done": _of("stream_incomplete"),
    "garbage": _of("completed", "bad_json"),
    "error_first": _of("upstream_error"),
    "error_mid": _of("upstream_error"),
    # The row is closed 10 ms behind the first marker: what comes later is not seen.
    "double_done": _of("completed", may="second_marker data_after_marker"),
    "no_last_chunk": _of("completed", may="missing_last_chunk"),
    "html": _of("upstream_protocol_error"),
    "redirect": _of("upstream_error"),
}
_PLAIN = {
    "cut": _of("stream_incomplete"),
    "cut_before_done": _of("stream_incomplete"),
    "reset": _of("stream_incomplete upstream_error"),
    "stall": _of("upstream_timeout"),
    "first_token_stall": _of("upstream_timeout"),
    "ping_only": _of("upstream_timeout"),
    "stall_head": _of("upstream_timeout"),
    "garbage": _of("upstream_protocol_error"),
    "error_first": _of("upstream_error"),
    "error_mid": _of("upstream_error"),
    "html": _of("upstream_protocol_error"),
    "redirect": _of("upstream_error"),
}
_REFUSED = _of("upstream_error")
_LEFT = _of("client_disconnected completed", may="drain_capped")
_BY_WAY = {
    Way.SLOW: _WHOLE,
    Way.LEAVE_BEFORE: _LEFT,
    Way.LEAVE_MIDWAY: _LEFT,
    Way.HALF_CLOSE: _LEFT,
    Way.STOP: _of("cancelled completed"),
    Way.BAD_JSON: _of("rejected"),
    Way.DOUBLED_KEY: _of("rejected"),
    Way.CUT_BODY: _of("client_disconnected"),
}


def expectation(call: Call) -> Expectation:
    """Return what the row of `call` may say."""
    plain, extra = _plain_expectation(call), call.extra
    if extra is None:
        return plain
    statuses = set(plain.statuses)
    if extra.chain == FINAL:
        statuses = {"upstream_error"}
    if extra.session is not None and call.stream:
        statuses.add("superseded")
    if extra.key != "wide":
        statuses.add("rejected")
    if extra.key == "poor":
        statuses.add("limit_reached")
    return replace(plain, statuses=frozenset(statuses))


def _plain_expectation(call: Call) -> Expectation:
    if call.way in _BY_WAY:
        return _BY_WAY[call.way]
    if call.fault is None:
        return _WHOLE
    if call.fault.startswith("http_"):
        return _REFUSED
    return (_STREAMED if call.stream else _PLAIN).get(call.fault, _WHOLE)
