"""Answers beside the metered ones: health, models, token counts, stop, an upstream's pages."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any, Protocol
from urllib.parse import unquote

from streamgauge.core.chat import MAX_LABEL
from streamgauge.core.errors import ErrorCode, GatewayError, RequestError
from streamgauge.core.json_text import read_object
from streamgauge.gateway.callers import Caller
from streamgauge.gateway.costs import cost_answer
from streamgauge.gateway.counts import count_answer
from streamgauge.gateway.discovery import Discovery
from streamgauge.gateway.endpoints import Endpoint, Route
from streamgauge.gateway.fetch import FetchError, fetch
from streamgauge.gateway.generation import Generation
from streamgauge.gateway.http import Request, Responder
from streamgauge.gateway.ids import IdSource
from streamgauge.gateway.later_answers import LaterAnswers
from streamgauge.gateway.pages import encoded, model_entry, models_page
from streamgauge.gateway.pool import Pool
from streamgauge.gateway.relay import Relay
from streamgauge.gateway.response_headers import JSON_HEADERS
from streamgauge.gateway.resuming import Resuming
from streamgauge.gateway.runtime import ConfigState
from streamgauge.gateway.stream_state import ended_state, running_state
from streamgauge.gateway.upstreams import UpstreamRuntime, none_left
from streamgauge.gateway.wiring import ClosedRow
from streamgauge.ledger.base import Ledger, LedgerError

__all__ = ["SidePages"]

_PAGE_HEADERS = (b"content-type",)
_MOST_LOOKING = 2
"""Threads that look for ended streams at once: the others are for names of upstreams."""
_WILD = frozenset("*?[")
_PUBLIC = (Route.HEALTH, Route.READY)


class Host(Protocol):
    """What these pages need of the gateway."""

    ids: IdSource
    pool: Pool
    discovery: Discovery
    relays: dict[str, Relay]
    resuming: Resuming
    stopping: bool
    config_state: ConfigState

    @property
    def closed_row(self) -> ClosedRow:
        """Looks up an exchange that has ended; it may block."""

    @property
    def upstreams(self) -> Mapping[str, UpstreamRuntime]:
        """The upstreams of the configuration in use."""

    @property
    def ledger(self) -> Ledger:
        """The books."""

    @property
    def generation(self) -> Generation:
        """The configuration in use, with its prices and what was learnt."""


class SidePages:
    """Implements the routes that make no row. What asks an upstream runs as a named task."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._later = LaterAnswers(host.ids)
        self._looking = asyncio.Semaphore(_MOST_LOOKING)

    async def aclose(self) -> None:
        """Drop what still waits for an upstream."""
        await self._later.aclose()

    def exists(self, endpoint: Endpoint, method: str) -> bool:
        """Return whether there is such a page: an upstream's own only where one exposes it."""
        if endpoint.route is not Route.PAGE or (endpoint.name == "/" and method == "HEAD"):
            return True
        return self._exposing(endpoint.name) is not None

    def is_public(self, endpoint: Endpoint, method: str) -> bool:
        """Return whether the page is for everyone: health, and the look that clients begin with."""
        if endpoint.route in _PUBLIC:
            return True
        if endpoint.name != "/" or endpoint.route is not Route.PAGE:
            return False
        return method == "HEAD" and self._exposing("/") is None

    def _exposing(self, page: str) -> UpstreamRuntime | None:
        ups = self._host.upstreams.values()
        return next((up for up in ups if page in up.config.expose), None)

    def answer(
        self, endpoint: Endpoint, request: Request, responder: Responder, caller: Caller | None
    ) -> None:
        """Answer one request of `caller`. Raises GatewayError."""
        match endpoint.route:
            case Route.HEALTH:
                _send(responder, 200, {"status": "ok"})
            case Route.READY:
                self._ready(responder)
            case Route.STREAM_STATE:
                self._state(endpoint.name, request, responder, caller)
            case Route.STREAM_EVENTS:
                self._host.resuming.answer(endpoint.name, request.head, responder, _key_id(caller))
            case Route.STREAM_STOP:
                self._stop(endpoint.name, responder, caller)
            case Route.STOP_BY_BODY:
                self._stop(_stream_id(request.body), responder, caller)
            case Route.COST:
                now_us = time.time_ns() // 1000
                _send_raw(responder, *cost_answer(self._host, request, caller, now_us))
            case Route.MODELS:
                answer = self._models(endpoint, request, responder, caller)
                self._later.run(answer, request.head, responder)
            case Route.COUNT_TOKENS:
                answer = self._count(request, responder, caller)
                self._later.run(answer, request.head, responder)
            case _:
                self._page(endpoint, request, responder)

    def _ready(self, responder: Responder) -> None:
        host = self._host
        reasons = []
        if host.stopping:
            reasons.append("draining")
        if not host.ledger.healthy:
            reasons.append(f"ledger: {host.ledger.reason()}")
        if (none := none_left(host.upstreams.values())) is not None:
            reasons.append(none)
        states = {
            up.name: {"usable": up.usable, "drained": up.drained, "last_error": up.last_error}
            for up in host.upstreams.values()
        }
        # A file that was refused makes nothing unready: the old configuration serves (SPEC §2.6).
        config = host.config_state
        page = {
            "ready": not reasons,
            "reasons": reasons,
            "upstreams": states,
            "config": {"state": config.name, "version": config.version, "error": config.error},
        }
        _send(responder, 503 if reasons else 200, page)

    def _relay(self, stream_id: str, caller: Caller | None) -> Relay:
        """Return a stream of `caller`; another key's is not there for it (FAULTS S3)."""
        relay = self._host.relays.get(stream_id)
        if relay is None or relay.exchange.record.key_id != _key_id(caller):
            raise _no_stream()
        return relay

    def _state(
        self, stream_id: str, request: Request, responder: Responder, caller: Caller | None
    ) -> None:
        if stream_id in self._host.relays:
            exchange = self._relay(stream_id, caller).exchange
            return _send(responder, 200, running_state(exchange, time.monotonic()))
        return self._later.run(self._ended(stream_id, responder, caller), request.head, responder)

    async def _ended(self, stream_id: str, responder: Responder, caller: Caller | None) -> None:
        async with self._looking:
            try:
                row = await asyncio.to_thread(self._host.closed_row, stream_id)
            except LedgerError:
                message = "the ledger cannot be read"
                raise GatewayError(503, ErrorCode.LEDGER_UNAVAILABLE, message) from None
        if row is None or row["key_id"] != _key_id(caller):
            raise _no_stream()
        _send(responder, 200, ended_state(row))

    def _stop(self, stream_id: str, responder: Responder, caller: Caller | None) -> None:
        self._relay(stream_id, caller).stop()
        _send(responder, 200, {"id": stream_id, "stopped": True})

    async def _models(
        self, endpoint: Endpoint, request: Request, responder: Responder, caller: Caller | None
    ) -> None:
        host = self._host
        for upstream in host.upstreams.values():
            host.discovery.refresh(upstream)
        if not any(host.discovery.models_of(up) for up in host.upstreams.values()):
            await host.discovery.settle()
        globs = [entry.match for entry in host.generation.config.routing.models]
        names: set[str] = set()
        for upstream in host.upstreams.values():
            globs += upstream.config.models
        for upstream in host.upstreams.values():
            names.update(self._offered(upstream, globs))
        names.update(_plain(globs))
        name = unquote(endpoint.name) if endpoint.name else None
        if name is not None and (_fits(name, globs) or self._is_explicit(name)):
            names.add(name)
        if caller is not None:
            names = {name for name in names if caller.may_use(name)}
        anthropic = _is_anthropic(request)
        if name is None:
            return _send(responder, 200, models_page(names, anthropic=anthropic))
        if name not in names:
            raise RequestError("there is no such model", status=404, code=ErrorCode.NO_ROUTE)
        return _send(responder, 200, model_entry(name, anthropic=anthropic))

    def _offered(self, upstream: UpstreamRuntime, globs: Iterable[str]) -> Iterable[str]:
        """Return what an upstream lists, without what would be refused by that name."""
        listed = self._host.discovery.models_of(upstream)
        default = self._host.generation.config.routing.default.to
        takes_all = any(target.partition("/")[0] == upstream.name for target in default)
        if takes_all or not upstream.config.models:
            return listed
        return [name for name in listed if _fits(name, globs)]

    def _is_explicit(self, name: str) -> bool:
        """Whether `name` is `upstream/model`, with a model that this upstream has (SPEC §14.1)."""
        named, _, model = name.partition("/")
        upstream = self._host.upstreams.get(named)
        if upstream is None:
            return False
        known = self._host.discovery.models_of(upstream)
        return model in known or _fits(model, upstream.config.models)

    async def _count(self, request: Request, responder: Responder, caller: Caller | None) -> None:
        headers, body = await count_answer(self._host, request, caller)
        _send_raw(responder, 200, headers, body)

    def _page(self, endpoint: Endpoint, request: Request, responder: Responder) -> None:
        upstream = self._exposing(endpoint.name)
        if upstream is None:
            return _send(responder, 200, {"status": "ok"})
        page = self._fetch_page(upstream, endpoint.name, responder)
        return self._later.run(page, request.head, responder)

    async def _fetch_page(self, upstream: UpstreamRuntime, path: str, responder: Responder) -> None:
        try:
            page = await fetch(self._host.pool, upstream, "GET", path)
        except FetchError as error:
            raise GatewayError(502, ErrorCode.UPSTREAM_ERROR, str(error)) from None
        headers = [(n, v) for n, v in page.headers if n in _PAGE_HEADERS]
        _send_raw(responder, page.status, headers, page.body)


def _key_id(caller: Caller | None) -> str | None:
    return None if caller is None else caller.key_id


def _is_anthropic(request: Request) -> bool:
    """Whether who asks for models is a client of that dialect: the path is the same in both."""
    return request.head.header(b"anthropic-version") is not None


def _plain(globs: Iterable[str]) -> Iterable[str]:
    """Return those that name one model, which can be asked for whether an upstream lists it or not."""
    return (glob for glob in globs if not set(glob) & _WILD)


def _fits(name: str, globs: Iterable[str]) -> bool:
    """Whether a chat could ask for `name`, and one of the globs takes it: it would be served."""
    if len(name) > MAX_LABEL or not name.isprintable():
        return False
    return any(fnmatchcase(name, glob) for glob in globs)


def _no_stream() -> RequestError:
    return RequestError("there is no such stream", status=404, code=ErrorCode.NO_ROUTE)


def _stream_id(body: bytes) -> str:
    fields = read_object(body)
    for key in ("stream_id", "trace_id"):
        if isinstance(found := fields.get(key), str):
            return found
    raise RequestError("stream_id or trace_id is required", param="stream_id")


def _send(responder: Responder, status: int, page: Any) -> None:
    _send_raw(responder, status, JSON_HEADERS, encoded(page))


def _send_raw(responder: Responder, status: int, headers: Any, body: bytes) -> None:
    responder.send_head(status, headers, len(body))
    if body:
        responder.send(body)
    responder.end()
