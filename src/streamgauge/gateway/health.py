"""Asks upstreams that have failed whether they answer again, by pages that cost nothing. No calls."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from random import random

from streamgauge.config.upstream import Kind
from streamgauge.core.routing.breaker import Circuit
from streamgauge.gateway.fetch import FetchError, fetch
from streamgauge.gateway.pool import Pool
from streamgauge.gateway.upstreams import UpstreamRuntime

__all__ = ["Probes"]

_PAGES: Mapping[Kind, str] = {
    Kind.LLAMACPP: "/health",
    Kind.VLLM: "/health",
    Kind.OLLAMA: "/api/version",
}
_LIST = "/v1/models"
"""The other kinds have no page for it. A list of models is billed nowhere."""
_BETWEEN_SECONDS = 5.0
_JITTER_SECONDS = 1.0
"""Several gateways that lost the same upstream must not ask it in the same moment."""
_ANSWER_SECONDS = 5.0
_ANSWERED_BADLY = 500
"""A status below says that something answers; whether the key is right is for a call to find out."""


class Probes:
    """At most one question is out at each upstream, and none at one that is well (SPEC §14.5).

    In a half-open circuit the question is the probe: no call goes out until it is answered. In a
    closed one a page that does not come counts as a failure, and one that comes forgives none: that
    a server answers does not say that its models do.
    """

    def __init__(
        self,
        pool: Pool,
        recovered: Callable[[UpstreamRuntime], None],
        chance: Callable[[], float] = random,
    ) -> None:
        """`recovered` is told of each upstream that answers again; `chance`: from 0 to 1."""
        self._pool = pool
        self._recovered = recovered
        self._chance = chance
        self._due: dict[UpstreamRuntime, float] = {}
        self._tasks: dict[UpstreamRuntime, asyncio.Task[None]] = {}

    def __repr__(self) -> str:
        return f"<Probes due={len(self._due)} out={len(self._tasks)}>"

    def tick(self, upstreams: Iterable[UpstreamRuntime], now: float) -> None:
        """Ask those whose time has come; to be called often, as no timer is kept."""
        ill = {up for up in upstreams if not _is_well(up, now)}
        for upstream in self._due.keys() - ill:
            del self._due[upstream]
        for upstream in ill - self._tasks.keys():
            if upstream not in self._due:
                self._due[upstream] = self._next(upstream, now)
            elif now >= self._due[upstream]:
                self._begin(upstream, now)

    async def ask_now(self, upstream: UpstreamRuntime) -> str | None:
        """Ask for a person who wants to know; return what is wrong, or None.

        It is the question that is out or due, where there is one. An open circuit stays open: its
        time is for calls that would wait long for nothing.
        """
        now = time.monotonic()
        if upstream not in self._tasks and not _is_well(upstream, now):
            self._due.setdefault(upstream, now)
            self._begin(upstream, now)
        if (out := self._tasks.get(upstream)) is not None:
            await asyncio.wait({out})
            return upstream.last_error
        try:
            error = await self._answer(upstream)
        except FetchError as problem:
            if problem.ours:
                return str(problem)
            error = str(problem)
        upstream.note_call(error)
        return error

    async def settle(self) -> None:
        """Wait for the questions that are out; each has its deadline."""
        if self._tasks:
            await asyncio.wait(set(self._tasks.values()))

    async def aclose(self) -> None:
        """Drop the questions that are out."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _next(self, upstream: UpstreamRuntime, now: float) -> float:
        closed = upstream.breaker.state(now) is Circuit.CLOSED
        then = now + _BETWEEN_SECONDS if closed else upstream.breaker.earliest(now)
        return then + _JITTER_SECONDS * self._chance()

    def _begin(self, upstream: UpstreamRuntime, now: float) -> None:
        del self._due[upstream]
        if not upstream.breaker.allows(now):
            return  # a call was the probe; the next tick sees how it ended
        ticket = upstream.breaker.began(now)  # before any other call can begin
        task = asyncio.create_task(self._ask(upstream, ticket), name=f"probe {upstream.name}")
        self._tasks[upstream] = task
        task.add_done_callback(lambda _: self._tasks.pop(upstream))

    async def _ask(self, upstream: UpstreamRuntime, ticket: int) -> None:
        try:
            error = await self._answer(upstream)
        except FetchError as problem:
            if problem.ours:
                upstream.breaker.abandoned(time.monotonic(), ticket)
                return
            error = str(problem)
        upstream.note_call(error)
        if error is None:
            upstream.breaker.answered(time.monotonic(), ticket)
            self._recovered(upstream)
        else:
            upstream.breaker.failed(time.monotonic(), ticket)

    async def _answer(self, upstream: UpstreamRuntime) -> str | None:
        """Return what is wrong with the answer. Raises FetchError when none came."""
        path = _PAGES.get(upstream.config.kind, _LIST)
        page = await fetch(self._pool, upstream, "GET", path, seconds=_ANSWER_SECONDS)
        return f"status {page.status}" if page.status >= _ANSWERED_BADLY else None


def _is_well(upstream: UpstreamRuntime, now: float) -> bool:
    return upstream.usable and upstream.breaker.state(now) is Circuit.CLOSED
