"""Sets a soak up: simulators, gateway and load as processes, with eyes on the gateway. It judges nothing."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from ..e2e.control_client import runtime
from ..e2e.process import SOURCES, GatewayProcess
from ..e2e.stand import PATIENT
from .calls import FLAVOURS, UPSTREAMS
from .load import Job
from .vitals import Vitals, vitals_of

__all__ = ["Figures", "Stage", "stage"]

ROOT = SOURCES.parent
SAMPLE_SECONDS = 0.5
IDLE_WITHIN = 5.0  # FAULTS I14


@dataclass(slots=True)
class Figures:
    """What the load did: calls, frames that clients got, seconds; resident MiB by calls so far."""

    calls: int = 0
    frames: int = 0
    seconds: float = 0.0
    memory: list[tuple[int, float]] = field(default_factory=list)

    @property
    def frames_a_second(self) -> float:
        """Frames through the gateway, all streams together."""
        return self.frames / self.seconds


class Stage:
    """A running gateway with simulators behind it. `clients`: the journals of loads so far.

    `keys`, `key_ids`: the clients' keys by name, where everything is on. `may_die`: the gateway is
    killed under the load.
    """

    def __init__(
        self,
        folder: Path,
        config: dict[str, Any],
        gateway: GatewayProcess,
        seed: int,
        share: float,
    ) -> None:
        self.folder = folder
        self.config = config
        self.gateway = gateway
        self.seed = seed
        self.share = share
        self.clients: list[Path] = []
        self.keys: dict[str, str] | None = None
        self.key_ids: dict[str, str] = {}
        self.may_die = False

    @property
    def simulators(self) -> list[Path]:
        """The journals of the simulators."""
        return [self.folder / f"{flavour}.jsonl" for flavour in FLAVOURS]

    async def vitals(self) -> Vitals:
        """Read what the gateway holds now, as the kernel and as it says itself."""
        said = await runtime(self.gateway)
        return vitals_of(self.gateway.process.pid, said)

    async def idle(self, at_most: Vitals, seconds: float = IDLE_WITHIN) -> Vitals:
        """Wait until the gateway holds no more than `at_most`; return what it holds then or in the end."""
        deadline = time.monotonic() + seconds
        while True:
            now = await self.vitals()
            if now.is_within(at_most) or time.monotonic() > deadline:
                return now
            await asyncio.sleep(0.05)

    async def load(self, first: int, seconds: float, workers: int) -> Figures:
        """Let the load run for so long, beginning with call `first`."""
        journal = self.folder / f"client-{first}.jsonl"
        self.clients.append(journal)
        where, keys, dies = self.gateway.port, self.keys, self.may_die
        job = Job(where, self.seed, first, workers, seconds, str(journal), self.share, keys, dies)
        figures = Figures()
        watching = asyncio.create_task(self._watch(figures), name="eyes on the gateway")
        try:
            figures.calls, figures.frames, figures.seconds = await _load(job)
        finally:
            watching.cancel()
        return figures

    async def restarted(self) -> GatewayProcess:
        """Start another gateway where one was killed. Whoever asks for it ends it."""
        return await _started(self.folder, self.config)

    async def _watch(self, figures: Figures) -> None:
        while True:
            await asyncio.sleep(SAMPLE_SECONDS)
            if self.gateway.process.returncode is not None:
                return
            # A line an exchange: near enough for a slope.
            figures.memory.append((len(self.gateway.lines), self.gateway.resident_mib()))


async def _load(job: Job) -> tuple[int, int, float]:
    process = await _python("tests.soak.load", msgspec.json.encode(job).decode())
    out, _ = await process.communicate()
    assert process.returncode == 0, "the load failed: its words are on stderr"
    calls, frames, seconds = json.loads(out)
    return calls, frames, seconds


async def _python(module: str, *arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module, *arguments),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(SOURCES)},
    )


def config_of(urls: dict[str, str], folder: Path) -> dict[str, Any]:
    """Return a configuration with two upstreams a flavour, one that cancels and one that drains."""
    upstreams = [
        {
            "name": name,
            "kind": "sim",
            "base_url": urls[name.partition("-")[0]],
            "api_key": "sk-of-the-upstream",
            "on_disconnect": name.partition("-")[2],
            "drain": {"max_seconds": 3},
            "timeouts": {"first_token": 4, "idle": 3},
        }
        for name in UPSTREAMS
    ]
    price = {
        "model": "qwen*",
        "input": "0.3",
        "output": "1.7",
        "cache_read": "0.03",
        "fee": "0.001",
    }
    return {
        "upstreams": upstreams,
        "prices": [{"upstream": "*", "currency": "USD", **price}],
        "ledger": {"url": f"sqlite:///{folder / 'ledger.db'}"},
        "routing": PATIENT,
    }


@contextlib.asynccontextmanager
async def upstreams(folder: Path) -> AsyncIterator[dict[str, str]]:
    """Run the simulators; yield their URLs by flavour."""
    process = await _python("tests.soak.upstreams", str(folder))
    assert process.stdout is not None
    try:
        lines = [(await process.stdout.readline()).decode().split() for _ in FLAVOURS]
        yield dict(lines)
    finally:
        process.terminate()
        await process.wait()


@contextlib.asynccontextmanager
async def serving(folder: Path, config: dict[str, Any]) -> AsyncIterator[GatewayProcess]:
    """Run a gateway with this configuration; kill what is left of it."""
    gateway = await _started(folder, config)
    try:
        yield gateway
    finally:
        await gateway.kill()


async def _started(folder: Path, config: dict[str, Any]) -> GatewayProcess:
    file = folder / "streamgauge.yaml"
    file.write_text(json.dumps(config))
    where = ("--config", str(file), "--port", "0")
    began = time.monotonic()
    gateway = await GatewayProcess.launch(*where, cwd=folder, control=0)
    try:
        return await gateway.ready(began)
    except BaseException:
        await gateway.kill()
        raise


@contextlib.asynccontextmanager
async def stage(folder: Path, seed: int, share: float) -> AsyncIterator[Stage]:
    """Set up simulators and a gateway in front of them."""
    async with upstreams(folder) as urls:
        config = config_of(urls, folder)
        async with serving(folder, config) as gateway:
            yield Stage(folder, config, gateway, seed, share)
