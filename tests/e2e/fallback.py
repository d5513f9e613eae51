"""Upstreams that fail before their first content, and those that serve behind them. No test here."""

from __future__ import annotations

import contextlib
import itertools
import json
import random
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from streamgauge.ledger.reader import LedgerReader
from streamgauge.tools.simulator import Simulator
from streamgauge.tools.simulator.script import Kind

from ..faults.upstream import (
    End,
    Script,
    ScriptedUpstream,
    absent,
    deaf,
    head,
    in_chunks,
    scripted,
)
from ..faults.wires import Wire, wire_of
from .stand import PATIENT, Answer, Stand, frames_of, stand

__all__ = [
    "DIALECTS",
    "FAILURES",
    "SAID",
    "WIRES",
    "Failure",
    "Pair",
    "Way",
    "behind_content",
    "keys_of",
    "pair",
    "started",
    "text_of",
    "whole",
]

DIALECTS = ("openai", "anthropic")
WIRES: Mapping[str, Wire] = {d: wire_of(random.Random("fallback"), d, plain=True) for d in DIALECTS}
SAID = " ".join(f"w{n}" for n in range(16))
"""What the second upstream answers."""
LAST = b"0\r\n\r\n"
JSON = "application/json"
_IMPATIENT = {"connect": 0.3, "first_token": 0.3}
_PINGS = {"openai": b": ping\n\n", "anthropic": b'event: ping\ndata: {"type":"ping"}\n\n'}


@dataclass(frozen=True, slots=True)
class Way:
    """From a client's dialect to those of the first and the second upstream."""

    client: str
    first: str
    second: str
    stream: bool

    @classmethod
    def all(cls) -> Iterator[Way]:
        """Yield passed through and translated, at the first and at the second, streamed and not."""
        for ends in itertools.product(DIALECTS, DIALECTS, DIALECTS, (True, False)):
            yield cls(*ends)

    @property
    def model(self) -> str:
        """The model's name, by which it is routed."""
        return f"{self.first}-{self.second}"

    @property
    def path(self) -> str:
        """Where the client asks."""
        return "/v1/messages" if self.client == "anthropic" else "/v1/chat/completions"

    @property
    def tried(self) -> tuple[str, str]:
        """The names of the two upstreams."""
        return f"first-{self.first}", f"second-{self.second}"

    def request(self) -> dict[str, Any]:
        """Return what is asked."""
        messages = [{"role": "user", "content": "hi"}]
        body = {"model": self.model, "messages": messages, "stream": self.stream}
        return body | {"max_tokens": 900} if self.client == "anthropic" else body


def text_of(way: Way, answer: Answer) -> str:
    """Return the text of an answer, piece by piece as it stands there."""
    if not way.stream:
        said = answer.json()
        if way.client == "anthropic":
            return "".join(block["text"] for block in said["content"])
        return str(said["choices"][0]["message"]["content"])
    told = [json.loads(data) for data in frames_of(answer.body) if data != b"[DONE]"]
    if way.client == "anthropic":
        return "".join(t["delta"]["text"] for t in told if t["type"] == "content_block_delta")
    deltas = [choice["delta"] for t in told for choice in t.get("choices", ())]
    return "".join(delta.get("content") or "" for delta in deltas)


# --- how it fails --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Failure:
    """How a first upstream fails, and what its attempt's row says then.

    `script` is of dialect and streaming; None: it is not reached, and `url` says where it would be.
    `only`: for streamed answers, or for whole ones.
    """

    outcome: str
    billed: bool
    script: Callable[[str, bool], Script] | None = None
    url: Callable[[], contextlib.AbstractContextManager[str]] | None = None
    only: bool | None = None

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
    "does not accept": Failure(TIMEOUT, False, url=deaf),
    "hangs before the head": Failure(TIMEOUT, True, _hangs),
    "hangs behind role and pings": Failure(TIMEOUT, True, _pings_on, only=True),
    "408": Failure(ERROR, False, partial(_status, "408 Request Timeout")),
    "429": Failure(ERROR, False, partial(_status, "429 Too Many Requests")),
    "500": Failure(ERROR, False, partial(_status, "500 Internal Server Error")),
    "503": Failure(ERROR, False, partial(_status, "503 Service Unavailable")),
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


# --- who serves ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Pair:
    """A gateway, the two scripted first upstreams by dialect, and the simulator behind them."""

    it: Stand
    firsts: Mapping[str, ScriptedUpstream]
    second: Simulator

    async def books(self) -> dict[str, tuple[dict[str, Any], list[dict[str, Any]]]]:
        """Return every row by its id, with its attempts, once all are closed."""
        ids = [row["id"] for row in await self.it.rows()]
        with LedgerReader(self.it.folder / "ledger.db") as reader:
            found = {each: reader.exchange(each) for each in ids}
        return {each: book for each, book in found.items() if book is not None}

    def calls(self, request_id: str) -> list[str]:
        """Return the attempts of one exchange that reached an upstream: `1 first`, `2 second`."""
        heard = [key for first in self.firsts.values() for key in map(key_of, first.heard)]
        keys = [(key, "first") for key in heard] + [(key, "second") for key in keys_of(self.second)]
        return sorted(f"{key[-1]} {place}" for key, place in keys if key[:-2] == request_id)


def key_of(heard: Any) -> str:
    """Return the idempotency key of a request: the exchange's id and the attempt's number."""
    lines = heard.request.partition(b"\r\n\r\n")[0].split(b"\r\n")
    [key] = [line.partition(b": ")[2] for line in lines if line.startswith(b"idempotency-key")]
    return key.decode()


def keys_of(simulator: Simulator) -> list[str]:
    """Return the idempotency keys of a simulator's calls."""
    return [r.header("idempotency-key") or "" for r in simulator.requests if r.method == "POST"]


@contextlib.asynccontextmanager
async def started(port: int = 0) -> AsyncIterator[Simulator]:
    """Run a simulator."""
    made = Simulator()
    await made.start(port=port)
    try:
        yield made
    finally:
        await made.aclose()


@contextlib.asynccontextmanager
async def _first(
    stack: contextlib.ExitStack, failure: Failure, dialect: str
) -> AsyncIterator[tuple[str, ScriptedUpstream]]:
    def script(n: int) -> Script:
        assert failure.script is not None
        return failure.script(
            dialect, b'"stream":true' in first.heard[n].request.replace(b" ", b"")
        )

    async with scripted(script) as first:
        yield first.url if failure.url is None else stack.enter_context(failure.url()), first


@contextlib.asynccontextmanager
async def pair(
    folder: Path,
    failure: Failure,
    *,
    timeouts: Mapping[str, float] | None = None,
    routing: Mapping[str, Any] | None = None,
    **config: Any,
) -> AsyncIterator[Pair]:
    """Run a gateway whose models go to a first upstream that fails, and to a second that serves.

    `timeouts`: of the first; the second has all the time it wants.
    """
    with contextlib.ExitStack() as stack:
        async with (
            _first(stack, failure, "openai") as (chat_url, chat),
            _first(stack, failure, "anthropic") as (messages_url, messages),
            started() as second,
        ):
            urls = {"openai": chat_url, "anthropic": messages_url}
            limits = dict(timeouts or _IMPATIENT)
            ups = [_upstream("first", d, url, timeouts=limits) for d, url in urls.items()]
            ups += [_upstream("second", d, second.url) for d in DIALECTS]
            routes = {"models": list(_models()), **PATIENT, **(routing or {})}
            async with stand(folder, config={"upstreams": ups, "routing": routes, **config}) as it:
                yield Pair(it, {"openai": chat, "anthropic": messages}, second)


def _upstream(place: str, dialect: str, url: str, **more: Any) -> dict[str, Any]:
    return {"name": f"{place}-{dialect}", "kind": dialect, "base_url": url, **more}


def _models() -> Iterator[dict[str, Any]]:
    for first, second in itertools.product(DIALECTS, DIALECTS):
        yield {"match": f"{first}-{second}", "to": [f"first-{first}", f"second-{second}"]}
