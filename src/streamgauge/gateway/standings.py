"""How the upstreams stand, for routing, and what routing remembers. Decides nothing (SPEC §14.4)."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from streamgauge.config.prices import PriceBook
from streamgauge.core.pricing import Price
from streamgauge.core.record import ExchangeRecord
from streamgauge.core.routing.breaker import Circuit
from streamgauge.core.routing.ratios import Ratios
from streamgauge.core.routing.strategies import Live, Standing
from streamgauge.gateway.upstreams import UpstreamRuntime

__all__ = ["MAX_SESSIONS", "Habits", "live_of"]

MAX_SESSIONS = 4096
"""A llama.cpp keeps a few prefixes: whose session was not heard of for longest has lost its own."""


class Habits:
    """Whose turn it is in each route, and where each session's prefix is warm. Implements Sink.

    One object goes through all configurations of a gateway.
    """

    def __init__(self, max_sessions: int = MAX_SESSIONS) -> None:
        self._turns: dict[str, int] = {}
        self._warm: dict[str, str] = {}
        self._max_sessions = max_sessions

    def turn(self, route: str) -> int:
        """Return how many requests the route has had so far; asking takes no turn."""
        return self._turns.get(route, 0)

    def took_turn(self, route: str) -> None:
        """Count a request of the route. One that is refused is none: it would cost another its place."""
        self._turns[route] = self._turns.get(route, 0) + 1

    def warm(self, session: str) -> str | None:
        """Return the upstream that served `session` last."""
        return self._warm.get(session)

    def started(self, record: ExchangeRecord) -> None:
        """Where an answer will come from is not known yet."""

    def write(self, record: ExchangeRecord) -> None:
        """Remember who served a session: a llama.cpp need not read its prompt's beginning again."""
        session, upstream = record.session_id, record.upstream
        if session is None or upstream is None:
            return
        # Taken out and put back: a dict keeps the order, so the first is the one longest unheard of.
        self._warm.pop(session, None)
        self._warm[session] = upstream
        if len(self._warm) > self._max_sessions:
            del self._warm[next(iter(self._warm))]


def live_of(
    upstreams: Mapping[str, UpstreamRuntime], prices: PriceBook, ratios: Ratios, habits: Habits
) -> Live:
    """Return what routing may ask while this configuration holds; it reads the clocks when asked."""

    def standing(name: str) -> Standing:
        return _standing(upstreams[name], time.monotonic())

    def admit(names: Sequence[str]) -> bool:
        now = time.monotonic()
        for name in names:
            upstream = upstreams[name]
            if upstream.drained or not upstream.breaker.allows(now):
                return False
        return True

    def price(name: str, model: str | None) -> Price | None:
        kind = upstreams[name].config.kind.value
        return prices.price_for(name, kind, model, time.time_ns() // 1000)

    return Live(standing, admit, price, ratios.ratio, habits.turn, habits.warm)


def _standing(upstream: UpstreamRuntime, now: float) -> Standing:
    breaker = upstream.breaker
    allows = breaker.allows(now)
    at = None if allows or upstream.drained else breaker.reopens_at(now)
    return Standing(
        allows=allows,
        reopens_in=None if at is None else at - now,
        in_flight=upstream.in_flight,
        latency=upstream.response_seconds,
        drained=upstream.drained,
        cooling=not allows and breaker.state(now) is Circuit.CLOSED,
    )
