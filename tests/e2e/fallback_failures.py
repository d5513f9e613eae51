"""How a first upstream fails, and what its attempt's row says then. No test here."""

from __future__ import annotations

import contextlib
import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from streamgauge.tools.simulator.script import Kind

from ..faults.upstream import End, Script, absent, deaf, head, in_chunks
from ..faults.wires import Wire, wire_of
from .fallback_ways import DIALECTS, Way

__all__ = ["FAILURES", "Failure", "behind_content", "whole"]

WIRES: Mapping[str, Wire] = {d: wire_of(random.Random("fallback"), d, plain=True) for d in DIALECTS}
LAST = b"0\r\n\r\n"
JSON = "application/json"
_PINGS = {"openai": b": ping\n\n", "anthropic": b'event: ping\ndata: {"type":"ping"}\n\n'}


@dataclass(frozen=True, slots=True)
class Failure:
    """How a first upstream fails, and what its attempt's row says then.

    `script` is of dialect and streaming; None: it is not reached, and `url` says where it would be.
    `only`: for streamed answers, or for whole ones. `waits`: the timeout that it is noticed by; all
    others are long, since a busy machine must not fail before the upstream does.
    """

    outcome: str
    billed: bool
    script: Callable[[str, bool], Script] | None = None
    url: Callable[[], contextlib.AbstractContextManager[str]] | None = None
    only: bool | None = None
    waits: str | None = None

    @property
    def timeouts(self) -> dict[str, float]:
        """Return the first upstream's timeouts, which no other failure than this one meets."""
        return {} if self.waits is None else {self.waits: 0.3}

    def ways(self) -> list[Way]:
        """Return the ways on which it can happen."""
        return [way for way in Way.all() if self.only in (None, way.stream)]


def whole(status: str, body: bytes, kind: str = JSON, **fields: str) -> Script:
    """Return an answer with a length."""
    told = head(status, content_length=str(len(body)), content_type=kind, **fields)
    return [told + body, End.CLOSE]


def _status(status: str, dialect: str, stream: bool) -> Script:
    error = {"error": {"message": "not now", "type": "api_error"}}
    return whole(status, json.dumps({"type": "error", **error}).encode())


def _html(dialect: str, stream: bool) -> Script:
    return whole("200 OK", b"<html>Sign in</html>", "text/html")


def _begun(wire: Wire) -> bytes:
    return b"".join(wire.data(until=Kind.CONTENT))


def _dies(how: str, dialect: str, stream: bool) -> Script:
    """Part of an answer, then the end that is named: `role cut`, `ping reset`, `head cut` …"""
    before, _, end = how.partition(" ")
    wire = WIRES[dialect]
    shown = {"head": b"", "role": _begun(wire), "ping": _PINGS[dialect]}[before]
    told = head() if stream else head(content_length="999", content_type=JSON)
    steps: list[bytes | float | End] = [told + (in_chunks(shown) if stream else b""), 0.01]
    if end == "error":
        return [*steps, in_chunks(wire.failure()) + LAST, End.CLOSE]
    if end == "end":
        return [*steps, LAST, End.CLOSE]
    return [*steps, End.RESET if end == "reset" else End.CLOSE]


def _half(dialect: str, stream: bool) -> Script:
    said, *_ = whole("200 OK", WIRES[dialect].whole)
    assert isinstance(said, bytes)
    return [said[:-20], End.CLOSE]


def _hangs(dialect: str, stream: bool) -> Script:
    return [End.HOLD]


def _pings_on(dialect: str, stream: bool) -> Script:
    begun = in_chunks(_begun(WIRES[dialect]))
    return [head() + begun, *([in_chunks(_PINGS[dialect]), 0.05] * 200), End.HOLD]


def _ends(end: End, dialect: str, stream: bool) -> Script:
    return [0.01, end]


def _no_http(dialect: str, stream: bool) -> Script:
    return [b"SSH-2.0-OpenSSH_9.6\r\n\r\n", End.CLOSE]


ERROR, TIMEOUT = "upstream_error", "upstream_timeout"
CUT, PROTOCOL = "stream_incomplete", "upstream_protocol_error"
FAILURES: Mapping[str, Failure] = {
    "refuses": Failure(ERROR, False, url=absent),
    "does not accept": Failure(TIMEOUT, False, url=deaf, waits="connect"),
    "hangs before the head": Failure(TIMEOUT, True, _hangs, waits="first_token"),
    "hangs behind role and pings": Failure(
        TIMEOUT, True, _pings_on, only=True, waits="first_token"
    ),
    "408": Failure(ERROR, False, partial(_status, "408 Request Timeout")),
    "429": Failure(ERROR, False, partial(_status, "429 Too Many Requests")),
    "500": Failure(ERROR, False, partial(_status, "500 Internal Server Error")),
    "503": Failure(ERROR, False, partial(_status, "503 Service Unavailable")),
    "an error at status 200": Failure(ERROR, True, partial(_status, "200 OK")),
    "HTML": Failure(PROTOCOL, True, _html),
    "no HTTP": Failure(PROTOCOL, True, _no_http),
    "closes before the head": Failure(ERROR, True, partial(_ends, End.CLOSE)),
    "resets before the head": Failure(ERROR, True, partial(_ends, End.RESET)),
    "cut before the first byte": Failure(CUT, True, partial(_dies, "head cut")),
    "reset before the first byte": Failure(ERROR, True, partial(_dies, "head reset")),
    "half a body": Failure(CUT, True, _half, only=False),
    "an error frame first": Failure(ERROR, True, partial(_dies, "head error"), only=True),
    "an error frame behind the role": Failure(ERROR, True, partial(_dies, "role error"), only=True),
    "an error frame behind a ping": Failure(ERROR, True, partial(_dies, "ping error"), only=True),
    "cut behind the role": Failure(CUT, True, partial(_dies, "role cut"), only=True),
    "reset behind the role": Failure(CUT, True, partial(_dies, "role reset"), only=True),
    "ends behind the role": Failure(CUT, True, partial(_dies, "role end"), only=True),
    "cut behind a ping": Failure(CUT, True, partial(_dies, "ping cut"), only=True),
}


def behind_content(end: str, dialect: str) -> Script:
    """Return a stream that shows its first content and then fails: cut, reset, error or stall."""
    wire = WIRES[dialect]
    shown = [head() + in_chunks(*wire.data()[: wire.contents[0] + 1]), 0.01]
    ends: Mapping[str, Script] = {
        "cut": [End.CLOSE],
        "reset": [End.RESET],
        "error": [in_chunks(wire.failure()) + LAST, End.CLOSE],
        "stall": [End.HOLD],
    }
    return [*shown, *ends[end]]
