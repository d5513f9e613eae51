"""Puts a control listener in front of a gateway. It brings the two loops together and decides nothing.

The control plane's libraries are imported only when the listener is wanted.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from streamgauge.cli.listening import cannot_listen, key_at_fault
from streamgauge.cli.reloading import Reloader
from streamgauge.config.effective import settings_of
from streamgauge.config.listeners import Control
from streamgauge.config.load import Loaded
from streamgauge.config.problems import ConfigError
from streamgauge.config.schema import Config
from streamgauge.control.plane import (
    Applied,
    Configuration,
    ExporterState,
    NotNow,
    Probed,
    ReloadRefused,
    Vitals,
)
from streamgauge.gateway.capturing import CaptureState, Order
from streamgauge.gateway.live import Live, UpstreamDetail, live_of, upstream_details
from streamgauge.gateway.runtime import Runtime, open_descriptors, runtime_of
from streamgauge.gateway.server import Gateway

if TYPE_CHECKING:
    from prometheus_client import Metric

    from streamgauge.control.books import BooksThread
    from streamgauge.control.server import ControlServer

__all__ = ["ControlListener", "ControlPortTaken", "GatewayPlane", "open_control", "url_of"]

_MOMENT_SECONDS = 2.0
"""A data loop that does not answer within this is blocked, and the page says so."""
_RELOAD_SECONDS = 60.0
_PROBE_SECONDS = 10.0
_Exchanges = Callable[[], Mapping[tuple[str, str, str], int]]
_Families = Callable[[], Sequence["Metric"]]
_Exporters = Callable[[], Sequence[ExporterState]]

T = TypeVar("T")


class GatewayPlane:
    """Implements Plane for one gateway, whose loop is `loop`. Asked from another thread."""

    def __init__(
        self,
        gateway: Gateway,
        reloader: Reloader,
        exchanges: _Exchanges,
        loop: asyncio.AbstractEventLoop,
        moment_seconds: float = _MOMENT_SECONDS,
        families: _Families = tuple,
        exporters: _Exporters = tuple,
    ) -> None:
        self._gateway = gateway
        self._reloader = reloader
        self._exchanges = exchanges
        self._loop = loop
        self._moment_seconds = moment_seconds
        self._families = families
        self._exporters = exporters

    async def runtime(self) -> Runtime:
        """Take the numbers on the data loop."""
        descriptors = open_descriptors()
        return await self._on_loop(lambda: runtime_of(self._gateway, descriptors))

    async def stop_stream(self, stream_id: str) -> bool:
        """Stop it on the data loop."""
        return await self._on_loop(lambda: _stop(self._gateway, stream_id))

    async def captures(self, order: Order | None) -> CaptureState:
        """Look at the folder here, and give the order on the data loop."""
        capturing = self._gateway.capturing
        if order is None:
            return await self._on_loop(capturing.state)
        if order.count != 0:
            await asyncio.to_thread(capturing.check)
        return await self._on_loop(lambda: capturing.order(order))

    async def live(self) -> Live:
        """Take the streams on the data loop, which goes on with its frames in between."""
        return await self._awaited(
            live_of(self._gateway, time.time_ns() // 1000), self._moment_seconds
        )

    async def upstreams(self) -> tuple[UpstreamDetail, ...]:
        """Take how each upstream stands on the data loop."""
        return await self._on_loop(lambda: upstream_details(self._gateway))

    async def probe(self, name: str) -> Probed | None:
        """Ask an upstream from the data loop, whose connections are."""
        upstream = self._gateway.upstreams.get(name)
        if upstream is None:
            return None
        began = time.monotonic()
        error = await self._awaited(self._gateway.discovery.probe(upstream), _PROBE_SECONDS)
        return Probed(error, round((time.monotonic() - began) * 1000, 1))

    async def drain(self, name: str, *, drained: bool) -> bool:
        """Mark it on the data loop, between two decisions."""
        return await self._on_loop(lambda: _drain(self._gateway, name, drained=drained))

    async def configuration(self) -> Configuration:
        """Return the settings in force; they are walked in a thread, for they may be many."""
        loaded = self.loaded()
        settings = await asyncio.to_thread(settings_of, loaded)
        file = None if loaded.origin is None else str(loaded.origin)
        return Configuration(file, loaded.version, tuple(loaded.warnings), tuple(settings))

    def loaded(self) -> Loaded:
        """Return the configuration in use with its origins, from any thread. Raises NotNow."""
        if self._reloader.loaded is None:
            raise NotNow("the gateway is starting")
        return self._reloader.loaded

    def drained(self) -> list[str]:
        """Return the upstreams that an admin drained, from any thread."""
        return [name for name, up in self._gateway.upstreams.items() if up.drained]

    def config(self) -> Config:
        """Return the configuration in use, from any thread."""
        return self._gateway.generation.config

    async def _on_loop(self, ask: Callable[[], T]) -> T:
        """Return what `ask` returns on the data loop. Raises NotNow when it does not answer."""
        answer: concurrent.futures.Future[T] = concurrent.futures.Future()

        def run() -> None:
            if answer.set_running_or_notify_cancel():
                try:
                    answer.set_result(ask())
                except Exception as error:  # a fault of ours: told to who asked, and logged there
                    answer.set_exception(error)

        try:
            self._loop.call_soon_threadsafe(run)
        except RuntimeError:
            raise NotNow("the gateway has stopped") from None
        return await _answer(asyncio.wrap_future(answer), self._moment_seconds)

    async def reload(self) -> Applied:
        """Reload on the data loop."""
        if self._gateway.stopping:
            raise NotNow("the gateway is shutting down")
        try:
            return await self._awaited(self._reload(), _RELOAD_SECONDS)
        except ConfigError as error:
            raise ReloadRefused([str(problem) for problem in error.problems]) from None

    async def _awaited(self, wanted: Coroutine[Any, Any, T], seconds: float) -> T:
        """Return what `wanted` returns on the data loop. Raises NotNow when it does not in time."""
        try:
            asked = asyncio.run_coroutine_threadsafe(wanted, self._loop)
        except RuntimeError:
            wanted.close()
            raise NotNow("the gateway has stopped") from None
        return await _answer(asyncio.wrap_future(asked), seconds)

    async def _reload(self) -> Applied:
        found = await self._reloader.reload("admin")
        return Applied(found.loaded.version, found.changed, found.needs_restart)

    def vitals(self) -> Vitals:
        """Read plain counters; each is one the data loop replaces whole."""
        gateway, ledger = self._gateway, self._gateway.ledger
        return Vitals(
            exchanges=self._exchanges(),
            unrecorded=dict(gateway.refusals.unrecorded),
            ledger=ledger.stats(),
            ledger_healthy=ledger.healthy,
            upstreams={name: up.usable for name, up in gateway.upstreams.items()},
            config=gateway.config_state,
            reloads=dict(self._reloader.counts),
            stopping=gateway.stopping,
            families=self._families(),
            ledger_reason=ledger.reason(),
            exporters=self._exporters(),
            drained=self.drained(),
        )


def _stop(gateway: Gateway, stream_id: str) -> bool:
    relay = gateway.relays.get(stream_id)
    if relay is not None:
        relay.stop()
    return relay is not None


def _drain(gateway: Gateway, name: str, *, drained: bool) -> bool:
    upstream = gateway.upstreams.get(name)
    if upstream is not None:
        upstream.drained = drained
    return upstream is not None


async def _answer(asked: asyncio.Future[T], seconds: float) -> T:
    done, _ = await asyncio.wait({asked}, timeout=seconds)
    if not done:
        asked.cancel()
        raise NotNow(f"the gateway did not answer within {seconds:g} s")
    if asked.cancelled():
        raise NotNow("the gateway is shutting down")
    return asked.result()


class ControlPortTaken(Exception):
    """The control listener cannot listen. The message names it, its address and two cures."""


class ControlListener:
    """A control listener that answers at `url`."""

    def __init__(self, server: ControlServer, url: str, books: BooksThread | None = None) -> None:
        self.url = url
        self._server = server
        self._books = books

    def tasks(self) -> set[asyncio.Task[Any]]:
        """Return what runs on its loop; any thread may look."""
        return self._server.tasks()

    def stop(self, seconds: float) -> None:
        """Stop answering; blocks until the listener is gone, for at most `seconds`."""
        self._server.stop(seconds)
        if self._books is not None:
            self._books.close()


def open_control(
    settings: Control,
    plane: GatewayPlane,
    ledger: Path | str | None = None,
    keys_changed: Callable[[], None] = lambda: None,
) -> ControlListener:
    """Listen and answer from now on. Raises ControlPortTaken.

    `ledger`: the file whose rows the admin API and the dashboard show; without it there are none.
    `keys_changed`: called, in a thread, after each change of its keys.
    """
    from streamgauge.cli.control_captures import FolderCaptures
    from streamgauge.cli.control_doctor import HouseDoctor
    from streamgauge.control.app import control_app
    from streamgauge.control.guard import Access
    from streamgauge.control.server import ControlServer

    token = settings.token.get_secret_value() if settings.token else None
    access = Access(settings.allowed_hosts, token or None)
    books = None if ledger is None else _books(ledger, plane, keys_changed)
    doctor = HouseDoctor(plane.loaded, plane.drained)
    app = control_app(plane, access, books, FolderCaptures(plane.config), doctor)
    server = ControlServer(app)
    try:
        host, port = server.listen(settings.host, settings.port)
    except OSError as error:
        reason = cannot_listen(settings.host, settings.port, error, " for control")
        cures = f"set control.{key_at_fault(error)}, or serve with --no-control"
        raise ControlPortTaken(f"{reason}; {cures}") from None
    server.start()
    return ControlListener(server, url_of(host, port), books)


def _books(
    ledger: Path | str, plane: GatewayPlane, keys_changed: Callable[[], None]
) -> BooksThread:
    from streamgauge.cli.control_books import LedgerBooks
    from streamgauge.control.books import BooksThread

    books = LedgerBooks(ledger, lambda: time.time_ns() // 1000, plane.config, keys_changed)
    return BooksThread(books)


def url_of(host: str, port: int) -> str:
    """Return the address of a listener as a URL."""
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"
