"""Puts a control listener in front of a gateway. It brings the two loops together and decides nothing.

The control plane's libraries are imported only when the listener is wanted.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
from collections.abc import Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from streamgauge.cli.reloading import Reloader
from streamgauge.config.listeners import Control
from streamgauge.config.problems import ConfigError
from streamgauge.control.plane import Applied, NotNow, ReloadRefused, Vitals
from streamgauge.gateway.runtime import Runtime, open_descriptors, runtime_of
from streamgauge.gateway.server import Gateway

if TYPE_CHECKING:
    from streamgauge.control.server import ControlServer

__all__ = ["ControlListener", "ControlPortTaken", "GatewayPlane", "open_control", "url_of"]

_MOMENT_SECONDS = 2.0
"""A data loop that does not answer within this is blocked, and the page says so."""
_RELOAD_SECONDS = 60.0
_Exchanges = Callable[[], Mapping[tuple[str, str, str], int]]

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
    ) -> None:
        self._gateway = gateway
        self._reloader = reloader
        self._exchanges = exchanges
        self._loop = loop
        self._moment_seconds = moment_seconds

    async def runtime(self) -> Runtime:
        """Take the numbers on the data loop."""
        taken: concurrent.futures.Future[Runtime] = concurrent.futures.Future()
        descriptors = open_descriptors()

        def take() -> None:
            if taken.set_running_or_notify_cancel():
                taken.set_result(runtime_of(self._gateway, descriptors))

        try:
            self._loop.call_soon_threadsafe(take)
        except RuntimeError:
            raise NotNow("the gateway has stopped") from None
        return await _answer(asyncio.wrap_future(taken), self._moment_seconds)

    async def reload(self) -> Applied:
        """Reload on the data loop."""
        if self._gateway.stopping:
            raise NotNow("the gateway is shutting down")
        wanted: Coroutine[Any, Any, Applied] = self._reload()
        try:
            asked = asyncio.run_coroutine_threadsafe(wanted, self._loop)
        except RuntimeError:
            wanted.close()
            raise NotNow("the gateway has stopped") from None
        try:
            return await _answer(asyncio.wrap_future(asked), _RELOAD_SECONDS)
        except ConfigError as error:
            raise ReloadRefused([str(problem) for problem in error.problems]) from None

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
        )


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

    def __init__(self, server: ControlServer, url: str) -> None:
        self.url = url
        self._server = server

    def stop(self, seconds: float) -> None:
        """Stop answering; blocks until the listener is gone, for at most `seconds`."""
        self._server.stop(seconds)


def open_control(settings: Control, plane: GatewayPlane) -> ControlListener:
    """Listen and answer from now on. Raises ControlPortTaken."""
    from streamgauge.control.app import control_app
    from streamgauge.control.guard import Access
    from streamgauge.control.server import ControlServer

    token = settings.token.get_secret_value() if settings.token else None
    server = ControlServer(control_app(plane, Access(settings.allowed_hosts, token or None)))
    try:
        host, port = server.listen(settings.host, settings.port)
    except OSError as error:
        where = f"{settings.host}:{settings.port}"
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
        message = f"cannot listen on {where} for control: {reason}"
        raise ControlPortTaken(f"{message}; set control.port, or serve with --no-control") from None
    server.start()
    return ControlListener(server, url_of(host, port))


def url_of(host: str, port: int) -> str:
    """Return the address of a listener as a URL."""
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"
