"""The load of a soak, in a process of its own: workers that make call after call until a time is over."""

from __future__ import annotations

import asyncio
import itertools
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import msgspec
import uvloop

from .calls import Way, call_of
from .client import Connection, play
from .journals import Told

__all__ = ["Job", "main"]

_READS_ON = frozenset({Way.READ, Way.SLOW, Way.STOP, Way.BAD_JSON, Way.DOUBLED_KEY})


class Job(msgspec.Struct):
    """What to do: where, calls from number `first` on, how many at once, for how long.

    `keys`: the clients' keys by name, where everything is on. `may_die`: the gateway may be killed.
    """

    port: int
    seed: int
    first: int
    workers: int
    seconds: float
    journal: str
    fault_share: float
    keys: dict[str, str] | None = None
    may_die: bool = False


class _Load:
    def __init__(self, job: Job, journal: BinaryIO) -> None:
        self._job = job
        self._journal = journal
        self._numbers: Iterator[int] = itertools.count(job.first)
        self._until = time.monotonic() + job.seconds
        self.calls = self.frames = 0

    async def work(self) -> None:
        """Make one call after the other, each on the connection of the last where it may go on."""
        connection: Connection | None = None
        while time.monotonic() < self._until:
            job, number = self._job, next(self._numbers)
            everything = job.keys is not None
            call = call_of(job.seed, number, job.fault_share, everything=everything)
            try:
                if connection is None or connection.lost:
                    connection = await self._connect()
                told = await play(call, connection, job.port, job.keys)
            except ConnectionError:
                if not job.may_die:
                    raise
                self._journal.write(msgspec.json.encode(Told(number)) + b"\n")
                return
            self._journal.write(msgspec.json.encode(told) + b"\n")
            self.calls += 1
            self.frames += told.frames
            if call.way not in _READS_ON or not told.clean or told.cuts:
                connection.transport.abort()
                connection = None
        if connection is not None:
            connection.transport.abort()

    async def _connect(self) -> Connection:
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(Connection, "127.0.0.1", self._job.port)
        return connection


async def _run(job: Job) -> None:
    with Path(job.journal).open("wb", buffering=1 << 16) as journal:
        load = _Load(job, journal)
        began = time.monotonic()
        async with asyncio.TaskGroup() as workers:
            for _ in range(job.workers):
                workers.create_task(load.work())
        took = time.monotonic() - began
    print(msgspec.json.encode([load.calls, load.frames, took]).decode(), flush=True)


def main() -> None:
    """Run the job in the first argument; print calls, frames and seconds."""
    uvloop.run(_run(msgspec.json.decode(sys.argv[1], type=Job)))


if __name__ == "__main__":
    main()
