"""The data listener: paths to dialects, requests to exchanges, start to stop."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from streamgauge.config.prices import PriceBook
from streamgauge.config.schema import Config
from streamgauge.core.attempt import Facts
from streamgauge.core.chat import ChatRequest, read_chat_request
from streamgauge.core.errors import ErrorCode, GatewayError, RequestError
from streamgauge.core.exchange import Exchange
from streamgauge.core.record import ExchangeRecord
from streamgauge.core.routing.plan import Candidate, Decision, Snapshot, plan
from streamgauge.gateway.admission import Origin, check_content_type, facts_of, new_id
from streamgauge.gateway.client_application import ClientSettings, EarlyAnswer, OpenConnection
from streamgauge.gateway.client_connection import ClientConnection
from streamgauge.gateway.discovery import Discovery
from streamgauge.gateway.endpoints import Endpoint, Route, beta_query, find_endpoint
from streamgauge.gateway.http import Header, Request, RequestHead, Responder, UpstreamCall
from streamgauge.gateway.pool import Pool, PoolSettings
from streamgauge.gateway.rejections import refusal, rejected_row
from streamgauge.gateway.relay import Relay
from streamgauge.gateway.side_pages import SidePages
from streamgauge.gateway.upstreams import UpstreamRuntime
from streamgauge.ledger.base import Ledger
from streamgauge.sinks.base import Sink

__all__ = ["Gateway", "Wiring"]

_log = logging.getLogger(__name__)

TICK_SECONDS = 0.5
"""How often deadlines and keep-alives are looked at: far below the second they are given in."""
_BACKLOG = 2048


@dataclass(frozen=True, slots=True)
class Wiring:
    """What the command line puts together for a gateway. `boot_id` is the rows' `owner`."""

    config: Config
    config_version: str
    ledger: Ledger
    sinks: Sequence[Sink]
    prices: PriceBook
    boot_id: str
    now_us: Callable[[], int]


class Gateway:
    """Implements Application for client connections and RelayOwner for relays."""

    def __init__(self, wiring: Wiring, loop: asyncio.AbstractEventLoop) -> None:
        config = wiring.config
        self._wiring = wiring
        self._loop = loop
        self._server: asyncio.Server | None = None
        self._ticker: asyncio.TimerHandle | None = None
        self._connections: set[OpenConnection] = set()
        self._empty = asyncio.Event()
        self.pool = Pool(loop, PoolSettings())
        self.upstreams = {u.name: UpstreamRuntime(u) for u in config.upstreams}
        self.discovery = Discovery(self.pool)
        self.relays: dict[str, Relay] = {}
        self.stopping = False
        self.parsed_frames = 0
        self._snapshot = Snapshot(
            tuple(Candidate(u.name, u.kind.value, u.models) for u in config.upstreams),
            default=next(iter(config.routing.default.to), None),
        )
        self._settings = ClientSettings(
            allowed_hosts=config.server.allowed_hosts,
            max_body=config.server.max_body_mb * 1024 * 1024,
            header_seconds=config.server.header_seconds,
            body_seconds=config.server.body_seconds,
            write_seconds=config.server.write_seconds,
            half_close=config.server.half_close,
        )
        self._pages = SidePages(self)

    def __repr__(self) -> str:
        return f"<Gateway relays={len(self.relays)} connections={len(self._connections)}>"

    # --- life ----------------------------------------------------------------------------------

    async def start(self) -> tuple[str, int]:
        """Listen; return host and port. Raises OSError when the port is taken."""
        server = self._wiring.config.server
        self._server = await self._loop.create_server(
            lambda: ClientConnection(self._settings, self),
            server.host,
            server.port,
            backlog=_BACKLOG,
        )
        self._tick()
        for upstream in self.upstreams.values():
            self.discovery.refresh(upstream)
        host, port = self._server.sockets[0].getsockname()[:2]
        return host, port

    async def stop(self, grace: float) -> None:
        """Take no new streams, let the running ones end within `grace` seconds, then end them."""
        self.stopping = True
        await self._until_empty(grace)
        self.end_all()
        await self._until_empty(1.0)
        # Only now: who asks during the drain is told, by /readyz too, and not refused unheard (F3).
        if self._server is not None:
            self._server.close()
        for connection in list(self._connections):
            connection.drain()
        if self._ticker is not None:
            self._ticker.cancel()
        await asyncio.sleep(0)  # what was just written leaves before the sockets close
        for connection in list(self._connections):
            connection.abort()
        await self._pages.aclose()
        await self.discovery.aclose()
        await self.pool.aclose()

    def end_all(self) -> None:
        """End every running stream now, each with its row (SPEC §18.4)."""
        for relay in list(self.relays.values()):
            relay.shutdown()

    async def _until_empty(self, seconds: float) -> None:
        if not self.relays:
            return
        self._empty.clear()
        try:
            async with asyncio.timeout(seconds):
                await self._empty.wait()
        except TimeoutError:
            _log.info("%d streams did not end in time", len(self.relays))

    def _tick(self) -> None:
        now = time.monotonic()
        for relay in list(self.relays.values()):
            relay.tick()
        for connection in list(self._connections):
            connection.tick(now)
        self._ticker = self._loop.call_later(TICK_SECONDS, self._tick)

    # --- for relays ----------------------------------------------------------------------------

    @property
    def ledger(self) -> Ledger:
        """The books."""
        return self._wiring.ledger

    def open_upstream(self, upstream: UpstreamRuntime, relay: Relay) -> UpstreamCall:
        """Begin a call that tells `relay`."""
        return self.pool.open(upstream.target, relay)

    def call_later(self, delay: float, call: Callable[[], None]) -> asyncio.TimerHandle:
        """Run `call` in `delay` seconds, unless the handle is cancelled before."""
        return self._loop.call_later(delay, call)

    def relay_ended(self, relay: Relay, record: ExchangeRecord) -> None:
        """Forget the relay and hand its record to the sinks."""
        self.relays.pop(record.id, None)
        self.parsed_frames += relay.exchange.parsed_frames
        self._tell_sinks(record)
        if not self.relays:
            self._empty.set()

    def _tell_sinks(self, record: ExchangeRecord, *, start: bool = False) -> None:
        for sink in self._wiring.sinks:
            try:
                sink.started(record) if start else sink.write(record)
            except Exception:
                # A failing sink harms neither streams nor other sinks (DESIGN §3).
                _log.exception("sink %r failed", sink)

    # --- for client connections ----------------------------------------------------------------

    def connection_opened(self, connection: OpenConnection) -> None:
        """A client has connected."""
        self._connections.add(connection)

    def connection_closed(self, connection: OpenConnection) -> None:
        """A connection is gone."""
        self._connections.discard(connection)

    def accept_head(self, head: RequestHead) -> EarlyAnswer | None:
        """Refuse what needs no body to be refused."""
        try:
            self._check_head(head)
        except GatewayError as error:
            return EarlyAnswer(*self._refuse(head.path, error, row=head.method == "POST"))
        return None

    def _check_head(self, head: RequestHead) -> None:
        endpoint = find_endpoint(head.path)
        if endpoint is None or not self._pages.exists(endpoint, head.method):
            raise RequestError("there is nothing at this path", status=404, code=ErrorCode.NO_ROUTE)
        if head.method not in endpoint.methods:
            raise RequestError(f"use {endpoint.methods[0]} here", status=405)
        if head.method == "POST":
            check_content_type(head)
            if self.stopping and endpoint.route is Route.METERED:
                raise GatewayError(503, ErrorCode.SERVER_SHUTDOWN, "the gateway is shutting down")

    def bad_request(
        self, path: str | None, status: int, code: str, message: str
    ) -> tuple[Sequence[Header], bytes]:
        """Return headers and body of a refusal by the connection itself."""
        _, headers, body = self._refuse(path, GatewayError(status, ErrorCode(code), message))
        return headers, body

    def _refuse(
        self, path: str | None, error: GatewayError, *, row: bool = True
    ) -> tuple[int, Sequence[Header], bytes]:
        request_id = new_id()
        status, headers, body = refusal(path, error, request_id)
        if error.code is ErrorCode.BAD_HTTP or not row:
            return status, headers, body
        record = rejected_row(
            path, error, status, request_id, self._wiring.boot_id, self._wiring.now_us()
        )
        if record is not None:
            self._wiring.ledger.insert(record)
            self._tell_sinks(record)
        return status, headers, body

    def handle(self, request: Request, responder: Responder) -> None:
        """Answer one whole request."""
        endpoint = find_endpoint(request.head.path)
        if endpoint is None:
            raise RuntimeError("a path that was accepted is not there")
        try:
            if endpoint.route is Route.METERED:
                self._begin(endpoint, request, responder)
            else:
                self._pages.answer(endpoint, request, responder)
        except GatewayError as error:
            status, headers, body = self._refuse(request.head.path, error)
            responder.send_head(status, headers, len(body))
            responder.send(body)
            responder.end()

    def _begin(self, endpoint: Endpoint, request: Request, responder: Responder) -> None:
        head = request.head
        chat = read_chat_request(endpoint.name, request.body, head.header)
        decision = plan(self._snapshot, chat.dialect, chat.model)
        upstream = self.upstreams[decision.upstream]
        facts = self._facts(head, chat, decision, upstream)
        self.discovery.refresh(upstream, decision.model)
        exchange = Exchange(facts, request.received_at)
        path = f"/v1/{endpoint.name}{beta_query(head.query)}"
        relay = Relay(self, exchange, responder, upstream, path, head.headers)
        self.relays[facts.id] = relay
        self._tell_sinks(exchange.record, start=True)
        relay.start(request.received_at)

    def decide(self, dialect: str, model: str | None) -> UpstreamRuntime:
        """Return the upstream that serves `model`. Raises RequestError."""
        return self.upstreams[plan(self._snapshot, dialect, model).upstream]

    def _facts(
        self, head: RequestHead, chat: ChatRequest, decision: Decision, upstream: UpstreamRuntime
    ) -> Facts:
        wiring, now_us = self._wiring, self._wiring.now_us()
        kind = upstream.config.kind.value
        price = wiring.prices.price_for(upstream.name, kind, decision.model, now_us)
        context = partial(self.discovery.context_of, upstream.name, decision.model)
        attempt = upstream.attempt(decision.model, price, context)
        origin = Origin(wiring.boot_id, wiring.config_version, now_us)
        return facts_of(head, chat, attempt, decision.route, wiring.config, origin)
