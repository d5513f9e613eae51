"""The dashboard beside the demo's gateway. Nothing here is configured, so nothing can be reloaded."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from streamgauge.cli.control_listener import (
    ControlListener,
    ControlPortTaken,
    GatewayPlane,
    open_control,
)
from streamgauge.cli.reloading import Reloader
from streamgauge.config.listeners import Control
from streamgauge.config.load import Loaded, LoadOptions
from streamgauge.control.plane import Applied, ReloadRefused
from streamgauge.gateway.server import Gateway
from streamgauge.sinks.labels import Labels
from streamgauge.sinks.prometheus import ExchangeCounts

__all__ = ["DemoControl", "say_nothing"]

_STOP_SECONDS = 3.0


class _DemoPlane(GatewayPlane):
    """A plane whose configuration stays: a file that lies about here is not the demo's."""

    async def reload(self) -> Applied:
        """Refuse."""
        raise ReloadRefused(["a demo reads no configuration"])


class DemoControl:
    """Opens the control listener on the first of `ports` that is free, for the ledger at `path`.

    `keys_changed`: called, in a thread, after each change of its keys.
    """

    def __init__(
        self, ports: tuple[int, ...], path: Path, keys_changed: Callable[[], None]
    ) -> None:
        self._ports = ports
        self._path = path
        self._keys_changed = keys_changed
        self._labels = Labels()
        self._listener: ControlListener | None = None
        self.counts = ExchangeCounts(self._labels)
        """To be among the gateway's sinks: what `/metrics` tells."""

    async def open(self, gateway: Gateway) -> str:
        """Listen and return the dashboard's URL. Raises OSError when no port is free."""
        config, version = gateway.generation.config, gateway.config_state.version
        self._labels.serve(config)
        reloader = Reloader(LoadOptions(), gateway, say_nothing)
        reloader.loaded = Loaded(config, None, [], version)
        loop = asyncio.get_running_loop()
        plane = _DemoPlane(
            gateway, reloader, self.counts.counts, loop, families=self.counts.families
        )
        # In a thread: its libraries take a fifth of a second to import.
        self._listener = await asyncio.to_thread(self._opened, plane)
        return self._listener.url

    async def close(self) -> None:
        """Stop listening."""
        if self._listener is not None:
            await asyncio.to_thread(self._listener.stop, _STOP_SECONDS)

    def _opened(self, plane: GatewayPlane) -> ControlListener:
        *likely, last = self._ports
        for port in likely:
            try:
                return self._listening(port, plane)
            except ControlPortTaken:
                continue
        try:
            return self._listening(last, plane)
        except ControlPortTaken as error:
            raise OSError(str(error)) from error

    def _listening(self, port: int, plane: GatewayPlane) -> ControlListener:
        return open_control(Control(port=port), plane, self._path, self._keys_changed)


def say_nothing(level: str, event: str, fields: list[tuple[str, str]]) -> None:
    """The demo has no log."""
