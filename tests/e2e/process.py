"""A gateway in a process of its own: started, signalled, killed and asked. Its ledger is read as anyone may."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Self

from streamgauge.ledger.reader import Filter, LedgerReader

from .stand import PATIENT, Answer, Client, until, upstream

__all__ = ["READY_WITHIN", "GatewayProcess", "closed_rows", "serving"]

READY_WITHIN = 15.0
"""Seconds to wait for the ready line before a test gives up; no promise about speed."""
_LIMITED = 'ulimit -n "$0" && exec "$@"'
SOURCES = Path(__file__).parents[2] / "src"


class GatewayProcess:
    """`streamgauge serve`. `lines`: its stderr so far. `ready_seconds`: from exec to the line."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[str] = []
        self.port = 0
        self.control_port = 0
        self.ready_seconds = 0.0
        self._ready = asyncio.Event()
        self._reading = asyncio.create_task(self._read(), name="stderr of the gateway")

    @classmethod
    async def launch(
        cls, *arguments: str, cwd: Path, descriptors: int | None = None, control: int | None = None
    ) -> Self:
        """Start `streamgauge serve` with `arguments`; it may end at once.

        `descriptors`: how many it may have open at most. `control`: open the control listener too,
        on this port; 0 is a free one.
        """
        listener = {"STREAMGAUGE_CONTROL__ENABLED": "false"}
        if control is not None:
            listener = {"STREAMGAUGE_CONTROL__PORT": str(control)}
        limited = () if descriptors is None else ("/bin/sh", "-c", _LIMITED, str(descriptors))
        return cls(
            await asyncio.create_subprocess_exec(
                *(*limited, sys.executable, "-m", "streamgauge", "serve", *arguments),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
                cwd=cwd,
                env={
                    "PATH": "/usr/bin:/bin",
                    "PYTHONPATH": str(SOURCES),
                    "HOME": str(cwd),
                    "STREAMGAUGE_LEDGER__SPOOL_MB": "1",  # many ledgers lie about for a while
                    **listener,
                },
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
                control = self.lines[-1].split("control=")[1].split()[0]
                self.control_port = 0 if control == "-" else int(control.rpartition(":")[2])
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

    def peak_mib(self) -> float:
        """Return its peak of resident memory in MiB since the start, or since `forget_peak`."""
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        line = next(line for line in text.splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) / 1024

    def forget_peak(self) -> None:
        """Let the peak begin anew."""
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")

    def cpu_seconds(self) -> float:
        """Return the seconds of processor time that it has taken so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    @contextlib.asynccontextmanager
    async def client(self, odd: bool = False) -> AsyncIterator[Client]:
        """Connect a raw client. `odd`: what it is answered may be an illegal stream."""
        ends = await asyncio.open_connection("127.0.0.1", self.port, limit=1 << 26)
        client = Client(*ends, odd)
        try:
            yield client
        finally:
            client.abort()

    async def ask(self, path: str, body: Any, odd: bool = False, **headers: str) -> Answer:
        """Send one request on a connection of its own and read the answer. `odd`: as in `client`."""
        async with self.client(odd) as client:
            await client.post(path, body, **headers)
            return await client.answer()

    async def get(self, path: str) -> Answer:
        """Ask for a page."""
        async with self.client() as client:
            client.writer.write(f"GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n".encode())
            return await client.answer()


@contextlib.asynccontextmanager
async def serving(
    folder: Path,
    simulator: Any,
    *,
    config: dict[str, Any] | None = None,
    descriptors: int | None = None,
    control: int | None = None,
    **upstream_keys: Any,
) -> AsyncIterator[GatewayProcess]:
    """Run a gateway in front of `simulator`, its ledger in `folder`; kill what is left of it."""
    whole = {
        "upstreams": [upstream(simulator, **upstream_keys)],
        "ledger": {"url": f"sqlite:///{folder / 'ledger.db'}"},
        "routing": PATIENT,
        **(config or {}),
    }
    file = folder / "streamgauge.yaml"
    file.write_text(json.dumps(whole))
    began = time.monotonic()
    where = ("--config", str(file), "--port", "0")
    gateway = await GatewayProcess.launch(
        *where, cwd=folder, descriptors=descriptors, control=control
    )
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
