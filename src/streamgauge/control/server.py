"""Runs the control plane in a thread and loop of its own, so that no page delays a frame."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from typing import Any

import uvicorn
from starlette.types import ASGIApp

__all__ = ["ControlServer"]

_BACKLOG = 128
_KEEP_ALIVE_SECONDS = 15
_SILENT_SECONDS = 20.0
"""How long a connection may go without a whole request."""
_GRACE_SECONDS = 1
"""How long an answer that is being written may take at the end."""
_MAX_CONNECTIONS = 128
"""A reader that never reads costs a descriptor: so many, and no more; those beyond get 503."""


class _Server(uvicorn.Server):
    """uvicorn, which waits for the rest of a request for ever, with a bound on that."""

    def __init__(self, config: uvicorn.Config, silent_seconds: float) -> None:
        super().__init__(config)
        self._silent_seconds = silent_seconds
        self._silent: dict[Any, tuple[Any, float]] = {}

    async def on_tick(self, counter: int) -> bool:
        """Called by uvicorn ten times a second."""
        self._drop_silent(asyncio.get_running_loop().time())
        return await super().on_tick(counter)

    def _drop_silent(self, now: float) -> None:
        """Close what has had no answer in progress, and the same last answer, for too long."""
        silent: dict[Any, tuple[Any, float]] = {}
        for connection in list(self.server_state.connections):
            cycle = getattr(connection, "cycle", None)
            if cycle is not None and not cycle.response_complete:
                continue
            last, since = self._silent.get(connection, (cycle, now))
            silent[connection] = (cycle, since if last is cycle else now)
            if now - silent[connection][1] > self._silent_seconds:
                connection.transport.close()
        self._silent = silent


class ControlServer:
    """uvicorn on one socket: `listen`, then `start`, then `stop`, each once and in this order."""

    def __init__(self, app: ASGIApp, silent_seconds: float = _SILENT_SECONDS) -> None:
        config = uvicorn.Config(
            app,
            loop="asyncio",
            http="httptools",
            ws="none",
            lifespan="off",
            log_config=None,
            log_level=logging.ERROR,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            limit_concurrency=_MAX_CONNECTIONS,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=_GRACE_SECONDS,
        )
        self._server = _Server(config, silent_seconds)
        self._socket: socket.socket | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, name="control", daemon=True)

    def listen(self, host: str, port: int) -> tuple[str, int]:
        """Take the port; return host and port as they are. Raises OSError when it is taken."""
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, _, _, _, address = found[0]
        self._socket = socket.create_server(address[:2], family=family, backlog=_BACKLOG)
        taken = self._socket.getsockname()
        return taken[0], taken[1]

    def start(self) -> None:
        """Answer from now on."""
        self._thread.start()

    def tasks(self) -> set[asyncio.Task[Any]]:
        """Return what runs on the listener's loop, for any thread to look at and none to change."""
        return set() if self._loop is None else asyncio.all_tasks(self._loop)

    def stop(self, seconds: float) -> None:
        """Stop answering; blocks until the thread has ended, for at most `seconds`."""
        # uvicorn logs each answer that it cuts off at the end as an error, with its stack.
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
        self._server.should_exit = True
        if self._thread.is_alive():
            self._thread.join(seconds)
        elif self._socket is not None:
            self._socket.close()

    def _run(self) -> None:
        if self._socket is not None:
            asyncio.run(self._serve(self._socket))

    async def _serve(self, listening: socket.socket) -> None:
        self._loop = asyncio.get_running_loop()
        await self._server.serve([listening])
