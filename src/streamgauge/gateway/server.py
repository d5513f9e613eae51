"""The data listener: paths to dialects, requests to exchanges, start to stop."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial

from streamgauge.core.chat import ChatRequest
from streamgauge.core.errors import ErrorCode, GatewayError
from streamgauge.core.exchange import Exchange
from streamgauge.core.record import ExchangeRecord, Status
from streamgauge.core.repeats import Repeats
from streamgauge.gateway.admission import check_content_type, endpoint_of, read_chat
from streamgauge.gateway.callers import Caller, callers_of
from streamgauge.gateway.capturing import Capturing
from streamgauge.gateway.client_application import EarlyAnswer, OpenConnection
from streamgauge.gateway.client_connection import ClientConnection
from streamgauge.gateway.discovery import Discovery
from streamgauge.gateway.endpoints import Endpoint, Route, allow_header, find_endpoint
from streamgauge.gateway.generation import Generation, generation_of
from streamgauge.gateway.http import (
    Header,
    Request,
    RequestHead,
    Responder,
    UpstreamCall,
    UpstreamEvents,
)
from streamgauge.gateway.ids import IdSource
from streamgauge.gateway.limiting import Limiting
from streamgauge.gateway.opening import Opening
from streamgauge.gateway.overload import Overload
from streamgauge.gateway.pool import Pool, PoolSettings
from streamgauge.gateway.refusals import Refusals
from streamgauge.gateway.relay import Relay
from streamgauge.gateway.resuming import Bounds, Resuming
from streamgauge.gateway.runtime import ConfigState
from streamgauge.gateway.sessions import SessionRegistry
from streamgauge.gateway.side_pages import SidePages
from streamgauge.gateway.timers import FairTimer, Timer
from streamgauge.gateway.upstreams import UpstreamRuntime
from streamgauge.gateway.wiring import Wiring
from streamgauge.ledger.base import Ledger

__all__ = ["Gateway", "Wiring"]

_log = logging.getLogger(__name__)

TICK_SECONDS = 0.5
"""How often deadlines and keep-alives are looked at: far below the second they are given in."""
_BACKLOG = 2048
_CAPTURES_STOP_SECONDS = 5.0


class Gateway:
    """Implements Application for client connections and RelayOwner for relays."""

    def __init__(self, wiring: Wiring, loop: asyncio.AbstractEventLoop) -> None:
        self.closed_row = wiring.closed_row
        self._current = generation_of(wiring.config, wiring.config_version, wiring.prices)
        self._current.take_effect()
        self._loop = loop
        self.call_later = partial(FairTimer, loop)
        self._server: asyncio.Server | None = None
        self._ticker: Timer | None = None
        self._connections: set[OpenConnection] = set()
        self._empty = asyncio.Event()
        self.stream_log = wiring.stream_log
        self.pool = Pool(loop, PoolSettings(), self.stream_log.close_late)
        self.discovery = Discovery(self.pool)
        self.relays: dict[str, Relay] = {}
        self.limiting = Limiting(self.relays)
        self.sessions = SessionRegistry(self.relays)
        self.repeats = Repeats()
        self.resuming = Resuming(self.call_later, Bounds())
        self.capturing = Capturing(lambda: self._current.config)
        self.stopping = False
        self.parsed_frames = 0
        self.config_state = ConfigState(wiring.config_version)
        self.ids = IdSource()
        sinks = (*wiring.sinks, self._current.habits)
        self.refusals = Refusals(wiring.ledger, sinks, wiring.boot_id, wiring.now_us, self.ids)
        self.callers = callers_of(wiring.config, wiring.now_us, wiring.insecure_no_auth)
        self._opening = Opening(self, self.ids, wiring.boot_id, wiring.now_us)
        self._overload = Overload(loop, wiring.ledger, wiring.now_us, self.pool, self._connections)
        self.ledger: Ledger = self._overload.ledger
        self._pages = SidePages(self)

    def __repr__(self) -> str:
        return f"<Gateway relays={len(self.relays)} connections={len(self._connections)}>"

    # --- life ----------------------------------------------------------------------------------

    async def start(self) -> tuple[str, int]:
        """Listen; return host and port. Raises OSError when the port is taken."""
        server = self._current.config.server
        self._server = await self._loop.create_server(
            lambda: ClientConnection(self._current.clients, self),
            server.host,
            server.port,
            backlog=_BACKLOG,
        )
        self._overload.start()
        self._tick()
        self._discover()
        host, port = self._server.sockets[0].getsockname()[:2]
        return host, port

    async def stop(self, grace: float) -> None:
        """Take no new streams, let the running ones end within `grace` seconds, then end them."""
        self.stopping = True
        await self._until_empty(grace)
        self.end_all()
        await self._until_empty(1.0)
        self.resuming.close()
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
        self._overload.stop()
        await self._pages.aclose()
        await self.discovery.aclose()
        await self.pool.aclose()
        await asyncio.to_thread(self.capturing.stop, _CAPTURES_STOP_SECONDS)

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
        # First: a fault of ours below must not be the end of all deadlines.
        self._ticker, now = self.call_later(TICK_SECONDS, self._tick), time.monotonic()
        for relay in list(self.relays.values()):
            relay.tick()
        for connection in list(self._connections):
            connection.tick(now)
        self.discovery.tick(self.upstreams.values(), now)

    # --- the configuration in use --------------------------------------------------------------

    @property
    def generation(self) -> Generation:
        """What new requests and exchanges are given."""
        return self._current

    @property
    def upstreams(self) -> Mapping[str, UpstreamRuntime]:
        """The upstreams of the configuration in use."""
        return self._current.upstreams

    def apply(self, generation: Generation) -> None:
        """Swap the configuration for all that begins from now on; what runs keeps its own (F7)."""
        self._current = generation
        generation.take_effect()
        for connection in self._connections:
            connection.adopt(generation.clients)
        self.config_state = ConfigState(generation.version)
        self.callers.require(generation.config.keys.required)
        self.pool.keep_only(upstream.target.key for upstream in self.upstreams.values())
        if not self.stopping:
            self._discover()

    def _discover(self) -> None:
        for upstream in self.upstreams.values():
            self.discovery.refresh(upstream)

    @property
    def client_sockets(self) -> int:
        """How many client connections are open."""
        return len(self._connections)

    @property
    def loop_lag_ms(self) -> float:
        """How late its loop came to its work at worst, of late (FAULTS F9)."""
        return self._overload.loop_lag_ms

    # --- for relays ----------------------------------------------------------------------------

    def open_upstream(self, upstream: UpstreamRuntime, events: UpstreamEvents) -> UpstreamCall:
        """Begin a call that tells `events`."""
        return self.pool.open(upstream.target, events)

    def relay_ended(self, exchange: Exchange, record: ExchangeRecord) -> None:
        """Forget the relay and hand its record to the sinks."""
        now = time.monotonic()
        self.relays.pop(record.id, None)
        self.sessions.ended(record.id)
        self.resuming.exchange_ended(record)
        self.repeats.ended(record, exchange.facts.request, now)
        self.parsed_frames += exchange.parsed_frames
        self.limiting.ended(record, now, called=exchange.may_have_been_billed)
        self.refusals.tell(record)
        if not self.relays:
            self._empty.set()

    # --- for client connections ----------------------------------------------------------------

    def connection_opened(self, connection: OpenConnection) -> None:
        """A client has connected."""
        self._connections.add(connection)
        self._overload.welcome(connection)

    def connection_closed(self, connection: OpenConnection) -> None:
        """A connection is gone."""
        self._connections.discard(connection)

    def accept_head(self, head: RequestHead) -> EarlyAnswer | None:
        """Refuse what needs no body to be refused."""
        caller = None
        try:
            endpoint = endpoint_of(head, self._pages.exists)
            caller = self._caller(endpoint, head)
            if head.method == "POST":
                check_content_type(head)
                if endpoint.route is Route.METERED:
                    self._check_room()
        except GatewayError as error:
            return EarlyAnswer(*self.refusals.refuse_head(head, error, caller))
        return None

    def _caller(self, endpoint: Endpoint, head: RequestHead) -> Caller | None:
        """Return who asks. Raises GatewayError for who may not, before any of the body is read."""
        if self.callers.idle:
            return None
        if endpoint.route is not Route.METERED and self._pages.is_public(endpoint, head.method):
            return None
        return self.callers.authenticate(head, head.peer, time.monotonic())

    def _check_room(self) -> None:
        if self.stopping:
            raise GatewayError(503, ErrorCode.SERVER_SHUTDOWN, "the gateway is shutting down")
        self._overload.check_stream(self.relays, self._current.config.server.max_streams)

    def bad_request(
        self, path: str | None, status: int, code: str, message: str, head: RequestHead | None
    ) -> tuple[Sequence[Header], bytes]:
        """Return headers and body of a refusal by the connection itself."""
        error = GatewayError(status, ErrorCode(code), message)
        if head is not None and (endpoint := find_endpoint(head.path)) is not None:
            error.headers = allow_header(endpoint) if status == 405 else ()
            with suppress(GatewayError):  # nobody's: it leaves no row
                caller = self._caller(endpoint, head)
                return self.refusals.refuse_head(head, error, caller)[1:]
        return self.refusals.refuse(path, error, row=False)[1:]

    def request_lost(self, head: RequestHead) -> None:
        """A client left before its request's body had come, or we did: its row says so."""
        with suppress(GatewayError):  # its key has died since: nobody's request leaves no row
            caller = self._caller(endpoint_of(head, self._pages.exists), head)
            if head.method == "POST":
                status = Status.SHUTDOWN if self.stopping else Status.CLIENT_DISCONNECTED
                self.refusals.lost(head, status, caller)

    def handle(self, request: Request, responder: Responder) -> None:
        """Answer one whole request."""
        endpoint = find_endpoint(request.head.path)
        if endpoint is None:
            raise RuntimeError("a path that was accepted is not there")
        caller = chat = None
        try:
            caller = self._caller(endpoint, request.head)  # a key may have died meanwhile
            if endpoint.route is Route.METERED:
                self._check_room()  # others may have begun while the body came
                chat = read_chat(request.head, endpoint.name, request.body)
                self._begin(chat, request, responder, caller)
            else:
                self._pages.answer(endpoint, request, responder, caller)
        except GatewayError as error:
            self.refusals.answer(responder, request.head, error, caller, chat)

    def _begin(
        self, chat: ChatRequest, request: Request, responder: Responder, caller: Caller | None
    ) -> None:
        relay = self._opening.open(chat, request, responder, caller)
        self.relays[relay.exchange.facts.id] = relay
        self.refusals.tell(relay.exchange.record, start=True)
        relay.start(request.received_at)
