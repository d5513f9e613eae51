"""Learns in the background what upstreams serve, and when they do again. Delays nobody."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from math import inf
from typing import Any

import msgspec

from streamgauge.config.upstream import Kind
from streamgauge.core.routing.breaker import Circuit
from streamgauge.gateway.fetch import FetchError, fetch
from streamgauge.gateway.health import Probes
from streamgauge.gateway.ollama_pages import (
    listed_models,
    running_context,
    shown_context,
    stated_size,
)
from streamgauge.gateway.pool import Pool
from streamgauge.gateway.upstreams import UpstreamRuntime

__all__ = ["Discovery"]

_LOCAL = frozenset({Kind.LLAMACPP, Kind.SIM, Kind.VLLM, Kind.OLLAMA})
_SLOTTED = frozenset({Kind.LLAMACPP, Kind.SIM})
_MOST_MODELS = 4096
"""Models of one upstream whose sizes are kept: clients choose the names, and may make them up."""
_FRESH_SECONDS = 60.0
"""A context size or list older than this is asked for again at the next call."""
_UNLOADED_SECONDS = 5.0
"""The same for a model that Ollama had not loaded: what it runs with is known soon after a call."""


class Discovery:
    """Asks upstreams what they serve, and notes it at each. A question in flight is asked once."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._probes = Probes(pool, self._recovered)
        self._tasks: set[asyncio.Task[None]] = set()

    def tick(self, upstreams: Iterable[UpstreamRuntime], now: float) -> None:
        """Ask those that have failed whether they answer again, each when its time has come."""
        self._probes.tick(upstreams, now)

    async def probe(self, upstream: UpstreamRuntime) -> str | None:
        """Ask an upstream whether it answers, now; return what is wrong, or None."""
        return await self._probes.ask_now(upstream)

    def context_of(self, upstream: UpstreamRuntime, model: str | None) -> int | None:
        """Return the context size in tokens, or None while it is not known (SPEC §6.7)."""
        contexts = upstream.learnt.contexts
        known = contexts.get(model)
        return contexts.get(None) if known is None else known

    def models_of(self, upstream: UpstreamRuntime) -> tuple[str, ...]:
        """Return the model names that the upstream listed last: one answer that fails takes none away."""
        return upstream.learnt.models

    def refresh(self, upstream: UpstreamRuntime, model: str | None = None) -> None:
        """Ask again in the background where the answer is old, but not while the circuit is open."""
        now, asked = time.monotonic(), upstream.learnt.asked
        if upstream.config.kind not in _LOCAL:
            model = None
        if now - asked.get(model, -inf) < _FRESH_SECONDS:
            return
        if upstream.breaker.state(now) is not Circuit.CLOSED:
            return
        if len(asked) > _MOST_MODELS:
            asked.clear()
            upstream.learnt.contexts.clear()
        asked[model] = now
        learn = self._learn_ollama if upstream.config.kind is Kind.OLLAMA else self._learn
        task = asyncio.create_task(learn(upstream, model), name=f"discover {upstream.name}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def settle(self) -> None:
        """Wait for the questions in flight."""
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=2.0)

    async def aclose(self) -> None:
        """Drop the questions in flight."""
        await self._probes.aclose()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _recovered(self, upstream: UpstreamRuntime) -> None:
        """Forget when it was asked: it may have come back with another model."""
        upstream.learnt.asked.clear()
        self.refresh(upstream)

    async def _learn(self, upstream: UpstreamRuntime, model: str | None) -> None:
        size = slots = None
        if upstream.config.kind in _LOCAL:
            props = await self._json(upstream, "/props")
            size, slots = _props_context(props), _props_slots(props)
            if size is None and upstream.config.kind in _SLOTTED:
                page = await self._json(upstream, "/slots")
                size, slots = _slots_context(page), slots or _slots_listed(page)
        listed = _listed(await self._json(upstream, "/v1/models"))
        learnt = upstream.learnt
        if slots is not None:
            learnt.slots = slots
        if listed is not None:
            learnt.models = tuple(listed)
        if size is None and listed is not None:
            size = _listed_context(listed, model)
        if size is not None or model not in learnt.contexts:
            learnt.contexts[model] = size

    async def _learn_ollama(self, upstream: UpstreamRuntime, model: str | None) -> None:
        """Learn by Ollama's own pages. Sizes differ by model there, so none stands for all."""
        learnt = upstream.learnt
        names = listed_models(await self._json(upstream, "/api/tags"))
        if names is not None:
            learnt.models = names
        if model is None:
            return
        size = running_context(await self._json(upstream, "/api/ps"), model)
        if size is None:
            learnt.asked[model] = time.monotonic() - _FRESH_SECONDS + _UNLOADED_SECONDS
            if learnt.contexts.get(model) is not None:
                return  # what it ran with before says more than what it was made for
            asked = msgspec.json.encode({"model": model})
            size = shown_context(await self._json(upstream, "/api/show", asked))
        learnt.contexts[model] = size

    async def _json(self, upstream: UpstreamRuntime, path: str, body: bytes = b"") -> Any:
        method = "POST" if body else "GET"
        try:
            page = await fetch(self._pool, upstream, method, path, body)
        except FetchError:
            return None
        if page.status != 200:
            return None
        try:
            return msgspec.json.decode(page.body)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            return None


def _props_context(props: Any) -> int | None:
    settings = props.get("default_generation_settings") if isinstance(props, dict) else None
    return stated_size(settings.get("n_ctx")) if isinstance(settings, dict) else None


def _slots_context(slots: Any) -> int | None:
    first = slots[0] if isinstance(slots, list) and slots else None
    return stated_size(first.get("n_ctx")) if isinstance(first, dict) else None


def _props_slots(props: Any) -> int | None:
    return stated_size(props.get("total_slots")) if isinstance(props, dict) else None


def _slots_listed(slots: Any) -> int | None:
    return stated_size(len(slots)) if isinstance(slots, list) else None


def _listed(page: Any) -> dict[str, int | None] | None:
    """Return the models on `/v1/models` with their sizes; None where it is no such page."""
    data = page.get("data") if isinstance(page, dict) else None
    if not isinstance(data, list):
        return None
    entries = [entry for entry in data if isinstance(entry, dict)]
    named = [(entry.get("id"), entry.get("max_model_len")) for entry in entries]
    return {name: stated_size(size) for name, size in named if isinstance(name, str)}


def _listed_context(sizes: dict[str, int | None], model: str | None) -> int | None:
    if model in sizes:
        return sizes[model]
    return next(iter(sizes.values())) if len(sizes) == 1 else None
