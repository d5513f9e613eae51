"""What signals do to a gateway that serves (SPEC §18.4). Opens nothing, and says nothing but stacks."""

from __future__ import annotations

import asyncio
import faulthandler
import signal
import sys
from collections.abc import Callable
from typing import Any

from streamgauge.gateway.server import Gateway

__all__ = ["StopSignals"]


class StopSignals:
    """From its making on, signals are heard: a first one asks for a drain, a second one for the end."""

    def __init__(self) -> None:
        """To be made on the loop that serves, before it listens: from then on there may be streams."""
        self._first, self._second = asyncio.Event(), asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stop)
        loop.add_signal_handler(signal.SIGUSR1, self._dump_stacks)
        self._elsewhere: Callable[[], set[asyncio.Task[Any]]] = set

    def reload_with(self, reload: Callable[[], None]) -> None:
        """Let SIGHUP ask for a `reload`."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, reload)

    def tell_too(self, tasks: Callable[[], set[asyncio.Task[Any]]]) -> None:
        """Let SIGUSR1 tell of the `tasks` of another loop as well, which need not answer for it."""
        self._elsewhere = tasks

    async def obeyed(self, gateway: Gateway) -> int:
        """Serve; at the first signal drain, at a second one stop at once. Return the exit code."""
        await self._first.wait()
        grace = gateway.generation.config.server.drain_seconds
        draining = asyncio.create_task(gateway.stop(grace), name="drain")
        impatient = asyncio.create_task(self._second.wait(), name="second signal")
        await asyncio.wait({draining, impatient}, return_when=asyncio.FIRST_COMPLETED)
        impatient.cancel()
        if draining.done():
            draining.result()
            return 0
        gateway.end_all()
        await draining
        return 1

    def _stop(self) -> None:
        (self._second if self._first.is_set() else self._first).set()

    def _dump_stacks(self) -> None:
        """Write the stacks of all threads and tasks to stderr; the process lives."""
        faulthandler.dump_traceback(file=sys.stderr, all_threads=True)
        for task in (*asyncio.all_tasks(), *self._elsewhere()):
            task.print_stack(file=sys.stderr)
        sys.stderr.flush()
