"""A gateway with its admin API: a stand, the control listener beside it, and a plain client of that."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from streamgauge.cli.control_listener import GatewayPlane, open_control
from streamgauge.cli.reloading import Reloader
from streamgauge.config.listeners import Control
from streamgauge.config.load import LoadOptions, load
from streamgauge.sinks.labels import Labels
from streamgauge.sinks.prometheus import ExchangeCounts

from .stand import Stand, stand

__all__ = ["API", "Admin", "Told", "admin_stand", "chat"]

API = "/admin/api/v1"
JSON = {"content-type": "application/json"}


def chat(model: str = "sim", **sim: Any) -> dict[str, Any]:
    """Return a streaming request that asks `sim` of the simulator."""
    messages = [{"role": "user", "content": "hi"}]
    return {"model": model, "stream": True, "messages": messages, "sim": sim}


@dataclass
class Told:
    """An answer of the control listener. Header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


class Admin:
    """A stand with a control listener at `port`; every call opens a connection of its own."""

    def __init__(self, on: Stand, port: int, plane: GatewayPlane) -> None:
        self.on = on
        self.port = port
        self.plane = plane

    async def get(self, path: str, **headers: str) -> Told:
        """Ask for a page; `path` is whole, or behind the API's prefix when it has no slash first."""
        return await self.send("GET", path, None, **headers)

    async def post(self, path: str, body: Any = None, method: str = "POST", **headers: str) -> Told:
        """Send JSON as our own pages do."""
        raw = json.dumps({} if body is None else body)
        return await self.send(
            method, path, raw.encode(), **{"content_type": "application/json", **headers}
        )

    async def send(self, method: str, path: str, body: bytes | None, **headers: str) -> Told:
        """Send exactly this, with a Host."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        whole = path if path.startswith("/") else f"{API}/{path}"
        return await asyncio.to_thread(self._send, method, whole, body, named)

    def _send(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> Told:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        with contextlib.closing(connection):
            connection.request(method, path, body, dict(headers))
            answer = connection.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            return Told(answer.status, found, answer.read())


@contextlib.asynccontextmanager
async def admin_stand(
    folder: Path,
    *,
    token: str | None = None,
    kind: type[GatewayPlane] = GatewayPlane,
    **more: Any,
) -> AsyncIterator[Admin]:
    """Run a stand with its control listener, as `serve` puts them together."""
    async with stand(folder, **more) as on:
        options = LoadOptions(config=folder / "streamgauge.yaml", environ={"EXAMPLE": "1"})
        reloader = Reloader(options, on.gateway, on._note)
        reloader.loaded = load(options)
        loop = asyncio.get_running_loop()
        plane = kind(on.gateway, reloader, ExchangeCounts(Labels()).counts, loop)
        settings = Control.model_validate(
            {"port": 0} if token is None else {"port": 0, "token": token}
        )
        listener = open_control(settings, plane, on.folder / "ledger.db")
        try:
            yield Admin(on, int(listener.url.rpartition(":")[2]), plane)
        finally:
            await asyncio.to_thread(listener.stop, 5.0)
            await reloader.aclose()
