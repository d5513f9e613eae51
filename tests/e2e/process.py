"""A gateway in a process of its own: started, signalled, killed and asked. Its ledger is read as anyone may."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Self

from streamgauge.ledger.reader import Filter, LedgerReader

from .stand import Answer, Client, until, upstream

__all__ = ["READY_WITHIN", "GatewayProcess", "closed_rows", "serving"]

READY_WITHIN = 15.0
"""Seconds to wait for the ready line before a test gives up; no promise about speed."""
SOURCES = Path(__file__).parents[2] / "src"


class GatewayProcess:
    """`streamgauge serve`. `lines`: its stderr so far. `ready_seconds`: from exec to the line."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[str] = []
        self.port = 0
        self.ready_seconds = 0.0
        self._ready = asyncio.Event()
        self._reading = asyncio.create_task(self._read(), name="stderr of the gateway")

    @classmethod
    async def launch(cls, *arguments: str, cwd: Path) -> Self:
        """Start `streamgauge serve` with `arguments`; it may end at once."""
        return cls(
            await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "streamgauge", "serve", *arguments),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
                cwd=cwd,
                env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(SOURCES), "HOME": str(cwd)},
            )
        )

    async def _read(self) -> None:
        pipe = self.process.stderr
        assert pipe is not None
        while line := await pipe.readline():
            self.lines.append(line.decode().rstrip("\n"))
            if self.lines[-1].startswith("ready "):
                url = self.lines[-1].split("data=")[1].split()[0]
                self.port = int(url.rpartition(":")[2])
                self._ready.set()
        self._ready.set()

    async def ready(self, began: float) -> Self:
        """Wait for the ready line. `began`: monotonic seconds of the launch."""
        await asyncio.wait_for(self._ready.wait(), READY_WITHIN)
        assert self.port, "\n".join(self.lines)
        self.ready_seconds = time.monotonic() - began
        return self

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    async def exit(self, seconds: float = READY_WITHIN) -> int:
        """Wait for the end, and for the rest of stderr; return the exit code."""
        code = await asyncio.wait_for(self.process.wait(), seconds)
        await self._reading
        return code

    async def kill(self) -> None:
        """Kill it as the kernel does when memory runs out, and wait until it is gone."""
        if self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self.process.kill()
        await self.exit()

    def resident_mib(self) -> float:
        """Return its resident memory in MiB."""
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        line = next(line for line in text.splitlines() if line.startswith("VmRSS:"))
        return int(line.split()[1]) / 1024

    @contextlib.asynccontextmanager
    async def client(self) -> AsyncIterator[Client]:
        """Connect a raw client."""
        client = Client(*await asyncio.open_connection("127.0.0.1", self.port, limit=1 << 26))
        try:
            yield client
        finally:
            client.abort()

    async def ask(self, path: str, body: Any, **headers: str) -> Answer:
        """Send one request on a connection of its own and read the answer."""
        async with self.client() as client:
            await client.post(path, body, **headers)
            return await client.answer()

    async def get(self, path: str) -> Answer:
        """Ask for a page."""
        async with self.client() as client:
            client.writer.write(f"GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n".encode())
            return await client.answer()


@contextlib.asynccontextmanager
async def serving(
    folder: Path, simulator: Any, *, config: dict[str, Any] | None = None, **upstream_keys: Any
) -> AsyncIterator[GatewayProcess]:
    """Run a gateway in front of `simulator`, its ledger in `folder`; kill what is left of it."""
    whole = {
        "upstreams": [upstream(simulator, **upstream_keys)],
        "ledger": {"url": f"sqlite:///{folder / 'ledger.db'}"},
        **(config or {}),
    }
    file = folder / "streamgauge.yaml"
    file.write_text(json.dumps(whole))
    began = time.monotonic()
    gateway = await GatewayProcess.launch("--config", str(file), "--port", "0", cwd=folder)
    try:
        yield await gateway.ready(began)
    finally:
        await gateway.kill()


async def closed_rows(folder: Path, count: int, seconds: float = 10.0) -> list[dict[str, Any]]:
    """Wait until the ledger in `folder` holds `count` rows or more, all closed; return them."""
    found: list[dict[str, Any]] = []

    def are_closed() -> bool:
        with LedgerReader(folder / "ledger.db") as reader:
            found[:] = reader.newest(Filter())
        return len(found) >= count and all(row["status"] != "in_flight" for row in found)

    await until(are_closed, seconds)
    return found
