"""A gateway with one upstream of a kind behind it and every client in front of it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from streamgauge.tools.simulator import SeenRequest
from streamgauge.tools.simulator.journal import Entry

from .matrix_clients import Clients
from .stand import Stand, stand

__all__ = ["Pair", "paired"]


@dataclass
class Pair:
    """One upstream with a gateway in front, and the clients."""

    upstream: str
    it: Stand
    clients: Clients

    @property
    def calls(self) -> list[SeenRequest]:
        """What went to the model so far: requests of ours beside that carry no such key."""
        return [r for r in self.it.simulator.requests if r.header("idempotency-key")]

    async def books(self, request_id: str) -> tuple[dict[str, Any], Entry]:
        """Return the row, and the journal's entry of its one call."""
        row = await self.it.row(request_id)
        keys = [call.header("idempotency-key") for call in self.calls]
        at = keys.index(f"{request_id}-1")
        return row, self.it.simulator.begun[at]


@contextlib.asynccontextmanager
async def paired(upstream: str, folder: Path, **keys: Any) -> AsyncIterator[Pair]:
    """Run a gateway in front of the simulator as `upstream`, which is configured as that kind."""
    async with stand(folder, flavour=upstream, kind=upstream, **keys) as it:
        clients = Clients(it)
        try:
            yield Pair(upstream, it, clients)
        finally:
            await clients.aclose()
