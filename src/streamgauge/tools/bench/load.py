"""The load client seen from outside: started, asked how far it is, read at its end. Judges no figure."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, NamedTuple

from streamgauge.tools.bench.processes import Running
from streamgauge.tools.bench.profiles import Profile
from streamgauge.tools.bench.targets import TargetFailed

__all__ = ["Count", "LoadClient", "loading"]

_MARGIN_SECONDS = 60.0
"""Beyond a load's own length, until it is given up: a saturated target is slow, not wrong."""


class Count(NamedTuple):
    """How many events had come at `at`, in seconds since the epoch."""

    events: int
    at: float


class LoadClient:
    """A running load client. `figures` is its last word, and comes once."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def opened(self) -> None:
        """Wait until every stream has had its first event. Raises TargetFailed when that never comes."""
        if (line := await self._line()) != b"open\n":
            raise TargetFailed(f"not all streams began: {line.decode(errors='replace').strip()}")

    async def count(self) -> Count:
        """Ask how many events have come; only between `opened` and the end."""
        self._process.send_signal(signal.SIGUSR1)
        line = await self._line()
        try:
            _, events, at = line.split()
            return Count(int(events), float(at))
        except ValueError:
            raise TargetFailed("the load was over before it could be counted") from None

    async def figures(self) -> dict[str, Any]:
        """Wait for the end and return what it has seen. Raises TargetFailed when it fails."""
        out, _ = await self._process.communicate()
        if self._process.returncode:
            raise TargetFailed(f"the load client ended with {self._process.returncode}")
        figures: dict[str, Any] = json.loads(out.splitlines()[-1])
        return figures

    async def _line(self) -> bytes:
        assert self._process.stdout is not None
        return await self._process.stdout.readline()


@asynccontextmanager
async def loading(profile: Profile, it: Running) -> AsyncIterator[LoadClient]:
    """Run `profile` against a target; kill what is left of the client at the end."""
    target = it.target
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "streamgauge.tools.bench.client", "--port", str(it.port)),
        *("--path", target.path, "--model", target.model),
        *("--seconds", str(profile.seconds + _MARGIN_SECONDS)),
        *(word for name, value in target.headers for word in ("--header", name, value)),
        *("--streams", str(profile.streams), "--events", str(profile.events)),
        *("--requests", str(profile.requests)),
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,  # Ctrl-C is for the bench, which then ends it
    )
    try:
        yield LoadClient(process)
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
