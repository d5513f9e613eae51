"""What the gateway bears: streams, descriptors, a loop in time. It refuses, and never queues."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Mapping
from typing import Final, Protocol

from streamgauge.core.errors import ErrorCode, GatewayError
from streamgauge.core.verdict import State
from streamgauge.gateway.client_application import EarlyAnswer
from streamgauge.gateway.descriptors import DescriptorBudget
from streamgauge.gateway.ids import IdSource
from streamgauge.gateway.pool import Pool
from streamgauge.gateway.pulse import LoopPulse
from streamgauge.gateway.rejections import refusal
from streamgauge.gateway.relay import Relay
from streamgauge.gateway.watchdog import Watchdog
from streamgauge.gateway.witness import WitnessedLedger
from streamgauge.ledger.base import Ledger

__all__ = ["Guest", "Overload"]

_STREAMS: Final = "the gateway serves as many streams as it may (server.max_streams)"
_SOCKETS: Final = "the gateway has no descriptor left for another stream"
_CLOSED_AT_ONCE: Final = 16
"""One in so many idle connections is closed at a time, so that a crowd is not searched for each."""
_FRESH_SECONDS: Final = 1.0
"""Younger idle connections are left alone: their first request may be on its way."""
_RECOUNT_SECONDS: Final = 0.01
"""How long «full» holds before it is looked at anew: a crowd must not be counted for each refusal."""


class Guest(Protocol):
    """A client's connection, as far as its place is concerned."""

    @property
    def idle_since(self) -> float | None:
        """Monotonic seconds since which it waits for a request; None when it does not."""

    def drain(self) -> None:
        """Close it, if it is idle."""

    def turn_away(self, answer: EarlyAnswer, *, linger: bool) -> None:
        """Answer without having read anything, and close; `linger`: once it can have been read."""


class Overload:
    """Decides what is refused because there is too much, and keeps the loop's pulse (SPEC §15.5)."""

    __slots__ = (
        "_budget",
        "_crowded_until",
        "_full_until",
        "_guests",
        "_ids",
        "_pool",
        "_pulse",
        "_watchdog",
        "ledger",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        ledger: Ledger,
        now_us: Callable[[], int],
        pool: Pool,
        guests: Collection[Guest],
    ) -> None:
        """`guests`: the connections of this moment, kept by the caller."""
        self._pulse = LoopPulse(loop)
        self._watchdog = Watchdog(self._pulse)
        self._budget = DescriptorBudget.of_process()
        self._pool = pool
        self._guests = guests
        self._full_until = 0.0
        self._crowded_until = 0.0
        self._ids = IdSource()  # for who is refused unheard
        self.ledger: Ledger = WitnessedLedger(ledger, self._pulse, now_us)

    def start(self) -> None:
        """Watch the loop; count what is open now as no socket of ours."""
        self._budget = DescriptorBudget.of_process()
        self._pulse.start()
        self._watchdog.start()

    def stop(self) -> None:
        """Watch no more."""
        self._pulse.stop()
        self._watchdog.stop()

    @property
    def loop_lag_ms(self) -> float:
        """How late the loop came to its work at worst, of late."""
        return self._pulse.lag_ms

    def check_stream(self, relays: Mapping[str, Relay], most: int) -> None:
        """Raise GatewayError when a stream beside `relays` is one too many; `most` 0: no bound."""
        if most and len(relays) >= most and self._is_full(relays, most):
            raise GatewayError(503, ErrorCode.OVERLOADED, _STREAMS)
        sockets = len(self._guests) + self._pool.sockets
        if sockets >= self._budget.room and not self._make_room():
            raise GatewayError(503, ErrorCode.OVERLOADED, _SOCKETS)

    def _is_full(self, relays: Mapping[str, Relay], most: int) -> bool:
        now = time.monotonic()
        if now < self._full_until:
            return True
        full = sum(_counts(relay) for relay in relays.values()) >= most
        self._full_until = now + _RECOUNT_SECONDS if full else 0.0
        return full

    def welcome(self, guest: Guest) -> None:
        """Find a place for a new connection: idle ones go first, then the newcomer (F47)."""
        sockets = len(self._guests) + self._pool.sockets
        if sockets <= self._budget.room or self._make_room():
            return
        beyond = sockets - self._budget.room - self._budget.spare
        if beyond > 0:
            error = GatewayError(503, ErrorCode.OVERLOADED, _SOCKETS)
            answer = EarlyAnswer(*refusal(None, error, self._ids.next()))
            guest.turn_away(answer, linger=beyond <= self._budget.spare // 2)

    def _make_room(self) -> bool:
        """Close those that have been idle longest. Returns whether there were any."""
        now = time.monotonic()
        if now < self._crowded_until:
            return False
        idle = [
            (since, number, guest)
            for number, guest in enumerate(self._guests)
            if (since := guest.idle_since) is not None and since < now - _FRESH_SECONDS
        ]
        if not idle:
            self._crowded_until = now + _RECOUNT_SECONDS
            return False
        idle.sort()
        for _, _, guest in idle[: len(idle) // _CLOSED_AT_ONCE + 1]:
            guest.drain()
        return True


def _counts(relay: Relay) -> bool:
    """Whether the relay is a stream; one whose client has all only waits for its row to close."""
    exchange = relay.exchange
    return exchange.state is not State.DRAINING or exchange.draining
