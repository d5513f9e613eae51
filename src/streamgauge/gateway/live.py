"""The streams and upstreams of a gateway at one moment, for screens. It changes nothing.

The numbers of a stream are those that its row would have now: none is made here.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from streamgauge.gateway.relay import Relay
from streamgauge.gateway.runtime import Watched
from streamgauge.gateway.stream_state import state_of
from streamgauge.gateway.upstreams import UpstreamRuntime

__all__ = ["LIVE_COLUMNS", "MOST_STREAMS", "Live", "UpstreamDetail", "live_of", "upstream_details"]

MOST_STREAMS = 500
"""Rows of one snapshot: more than a screen shows, and a twentieth of a second of the loop's time."""
_SLICE_SECONDS = 0.001
"""For so long at a time the loop is kept from its frames."""
_MOST_NAMES = 200
"""Of models of an upstream; a marketplace lists thousands."""

LIVE_COLUMNS = (
    *("id", "started_at", "client_app", "key_id", "session_id", "dialect", "endpoint", "streaming"),
    *("requested_model", "upstream_model", "response_model", "upstream", "route", "latency_ms"),
    *("first_byte_ms", "ttft_ms", "input_tokens", "input_source", "output_tokens", "usage_source"),
    *("generation_tps", "tps_source", "context_used", "context_total", "context_percent"),
    *("bytes_in", "bytes_out", "frames_in", "frames_out"),
)
"""Columns of a stream's row that a snapshot has."""


@dataclass(frozen=True, slots=True)
class Live:
    """The streams at `at` (µs since the epoch), the oldest first; `streams` counts all of them."""

    at: int
    streams: int
    rows: tuple[Mapping[str, Any], ...]

    @property
    def tokens_per_second(self) -> float | None:
        """Together, of those whose speed is known; None without any."""
        known = [row["generation_tps"] for row in self.rows if row["state"] == "streaming"]
        speeds = [speed for speed in known if speed is not None]
        return round(sum(speeds), 1) if speeds else None


@dataclass(frozen=True, slots=True)
class UpstreamDetail:
    """How one upstream stands. `response_ms`: moving mean until an answer's head. None is unknown.

    `admits`: whether a call may begin there now; drained, its circuit and its own wish are looked at.
    `last_error`: how a call or probe failed last, also where it has answered since. `slots`: calls
    that it works on at once, others wait there. `most_drains`: of `drains`.
    """

    name: str
    kind: str
    base_url: str
    usable: bool
    admits: bool
    drained: bool
    last_error: str | None
    in_flight: int
    drains: int
    most_drains: int
    slots: int | None
    response_ms: float | None
    models: tuple[str, ...]
    contexts: Mapping[str | None, int | None]


async def live_of(gateway: Watched, at: int) -> Live:
    """Return the streams of the gateway on whose loop this runs, which keeps its turns short.

    `at`: the wall clock. What ends while it is being read is left out.
    """
    relays = list(gateway.relays.values())
    rows: list[Mapping[str, Any]] = []
    began = time.monotonic()
    for relay in relays[:MOST_STREAMS]:
        now = time.monotonic()
        if now - began > _SLICE_SECONDS:
            await asyncio.sleep(0)  # frames first
            began = now = time.monotonic()
        if relay.exchange.record.id in gateway.relays:
            rows.append(_row(relay, now))
    return Live(at, len(relays), tuple(rows))


def _row(relay: Relay, now: float) -> Mapping[str, Any]:
    exchange = relay.exchange
    row, last, attempt = exchange.so_far(now), exchange.last_content_at, exchange.attempt
    told = {name: getattr(row, name) for name in LIVE_COLUMNS}
    return {
        **told,
        "state": state_of(exchange),
        "age_ms": row.stream_duration_ms,
        "upstream_dialect": row.dialect if attempt.dialect is None else attempt.dialect,
        "attempt": row.attempts,
        "last_frame_ms": None if last is None else round((now - last) * 1000, 1),
    }


def upstream_details(gateway: Watched) -> tuple[UpstreamDetail, ...]:
    """Return how each upstream of the configuration in use stands. On the gateway's own loop."""
    return tuple(_detail(upstream) for upstream in gateway.upstreams.values())


def _detail(upstream: UpstreamRuntime) -> UpstreamDetail:
    seconds = upstream.response_seconds
    contexts = list(upstream.learnt.contexts.items())[:_MOST_NAMES]
    return UpstreamDetail(
        name=upstream.name,
        kind=upstream.config.kind.value,
        base_url=upstream.config.base_url,
        usable=upstream.usable,
        admits=upstream.admits(time.monotonic()),
        drained=upstream.drained,
        last_error=upstream.newest_error,
        in_flight=upstream.in_flight,
        drains=upstream.drains,
        most_drains=upstream.config.drain.max_streams,
        slots=upstream.learnt.slots,
        response_ms=None if seconds is None else round(seconds * 1000, 1),
        models=upstream.learnt.models[:_MOST_NAMES],
        contexts=dict(contexts),
    )
