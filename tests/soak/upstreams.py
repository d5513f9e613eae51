"""The simulators of a soak, in a process of their own: one a flavour, each with a journal file."""

from __future__ import annotations

import asyncio
import signal
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import uvloop

from streamgauge.tools.simulator import Simulator

from .calls import FLAVOURS

__all__ = ["main"]


async def _serve(folder: Path) -> None:
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    async with AsyncExitStack() as stack:
        for flavour in FLAVOURS:
            simulator = Simulator()
            await simulator.start(flavour=flavour, journal=folder / f"{flavour}.jsonl")
            await stack.enter_async_context(simulator)
            print(f"{flavour} {simulator.url}", flush=True)
        await stopped.wait()


def main() -> None:
    """Serve until SIGTERM; print each flavour and its URL."""
    uvloop.run(_serve(Path(sys.argv[1])))


if __name__ == "__main__":
    main()
