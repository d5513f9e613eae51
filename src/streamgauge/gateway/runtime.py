"""What a gateway holds at one moment, for those who watch it (SPEC §11.4). It changes nothing."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from streamgauge.core.routing.breaker import Circuit, Condition, health
from streamgauge.gateway.limiting import Limiting
from streamgauge.gateway.pool import Pool
from streamgauge.gateway.relay import Relay
from streamgauge.gateway.resuming import Resuming
from streamgauge.gateway.sessions import SessionRegistry
from streamgauge.gateway.upstreams import UpstreamRuntime
from streamgauge.ledger.base import Ledger

__all__ = [
    "ConfigState",
    "Runtime",
    "UpstreamState",
    "Watched",
    "open_descriptors",
    "runtime_of",
]

_DESCRIPTORS = "/proc/self/fd"


@dataclass(frozen=True, slots=True)
class ConfigState:
    """Which configuration is in use, and the first problem of a newer one that was refused."""

    version: str
    error: str | None = None
    problems: int = 0

    @property
    def name(self) -> str:
        """`ok`, or `stale` while the file on the disk is not what is in use."""
        return "ok" if self.error is None else "stale"


@dataclass(frozen=True, slots=True)
class UpstreamState:
    """How one upstream stands: its circuit and its health, which has a reason unless it is ok.

    `drained`: an admin wants no new call there.
    """

    circuit: Circuit
    health: Condition
    reason: str | None
    drained: bool = False


@dataclass(frozen=True, slots=True)
class Runtime:
    """The numbers of `GET /admin/runtime`, under their names there. None is unknown.

    `streams`: exchanges in progress. `tasks`: asyncio tasks of the data loop. `sockets_upstream`
    counts the idle ones of `pool_idle` too. `descriptors`: of the whole process. `registry`: entries
    of the tables by which streams are stopped and superseded. `drains`: streams read on after their
    client left. `ledger_queue`: operations not yet committed. `spool`: bytes waiting in it.
    `parsed_frames`: since the start. `holds`: calls that hold something of their key's limits.
    `resume_buffers`: streams kept for clients that may come back, `resume_bytes`: what they hold.
    `upstreams`: by their names.
    """

    streams: int
    tasks: int
    sockets_client: int
    sockets_upstream: int
    pool_idle: int
    descriptors: int | None
    registry: int
    drains: int
    ledger_queue: int
    spool: int
    loop_lag_ms: float
    parsed_frames: int
    holds: int
    resume_buffers: int
    resume_bytes: int
    upstreams: Mapping[str, UpstreamState]


class Watched(Protocol):
    """What is read of a gateway."""

    @property
    def pool(self) -> Pool:
        """Its upstream connections."""

    @property
    def relays(self) -> Mapping[str, Relay]:
        """Its exchanges, by their id."""

    @property
    def ledger(self) -> Ledger:
        """Its books."""

    @property
    def limiting(self) -> Limiting:
        """What its callers hold of their limits."""

    @property
    def sessions(self) -> SessionRegistry:
        """Its streams of which each session has one."""

    @property
    def resuming(self) -> Resuming:
        """Its streams whose clients may come back."""

    @property
    def upstreams(self) -> Mapping[str, UpstreamRuntime]:
        """Its upstreams, by their names."""

    @property
    def client_sockets(self) -> int:
        """Its client connections."""

    @property
    def parsed_frames(self) -> int:
        """Frames read by the meters of exchanges that have ended."""

    @property
    def loop_lag_ms(self) -> float:
        """How late its loop came at worst in the last ten seconds."""


def runtime_of(gateway: Watched, descriptors: int | None) -> Runtime:
    """Return the numbers of this moment. To be called on the gateway's own loop.

    `descriptors` are counted elsewhere: with thousands open that takes longer than a frame may wait.
    """
    relays = [relay.exchange for relay in gateway.relays.values()]
    now = time.monotonic()
    pool, ledger = gateway.pool.stats(), gateway.ledger.stats()
    return Runtime(
        streams=len(relays),
        tasks=len(asyncio.all_tasks()),
        sockets_client=gateway.client_sockets,
        sockets_upstream=pool.open,
        pool_idle=pool.idle,
        descriptors=descriptors,
        registry=len(gateway.relays) + len(gateway.sessions),
        drains=sum(exchange.draining for exchange in relays),
        ledger_queue=ledger.queued,
        spool=ledger.spool_bytes,
        loop_lag_ms=round(gateway.loop_lag_ms, 3),
        parsed_frames=gateway.parsed_frames + sum(exchange.parsed_frames for exchange in relays),
        holds=gateway.limiting.holds,
        resume_buffers=len(gateway.resuming),
        resume_bytes=gateway.resuming.bytes,
        upstreams={name: _state_of(up, now) for name, up in gateway.upstreams.items()},
    )


def _state_of(upstream: UpstreamRuntime, now: float) -> UpstreamState:
    found = health(upstream.breaker, now)
    state = upstream.breaker.state(now)
    return UpstreamState(state, found.condition, found.reason, upstream.drained)


def open_descriptors() -> int | None:
    """Return how many descriptors the process has open, or None where the system does not tell."""
    try:
        return len(os.listdir(_DESCRIPTORS)) - 1  # one of them is the listing's own
    except OSError:
        return None
