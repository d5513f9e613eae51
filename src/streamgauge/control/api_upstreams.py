"""The admin API's upstreams: how they stand, how fast they were; probe, drain, enable. Judges none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from streamgauge.control import params
from streamgauge.control.bodies import json_answer, read_object
from streamgauge.control.books import Books, BooksThread
from streamgauge.control.guard import Refused
from streamgauge.control.plane import NotNow, Plane
from streamgauge.control.routes import ApiRoute, Query
from streamgauge.control.schemas import array, record, ref
from streamgauge.control.sums import quantiles, speed_quantiles
from streamgauge.gateway.live import UpstreamDetail
from streamgauge.gateway.runtime import UpstreamState
from streamgauge.ledger.questions import Speeds
from streamgauge.ledger.rollup import Hours
from streamgauge.ledger.rollup_sql import HOUR_US
from streamgauge.ledger.rollup_sums import NOTHING, TimesSum, UsageSum

__all__ = ["UpstreamsApi"]

_HOURS, _MOST_HOURS = 24, 24 * 31


@dataclass(frozen=True, slots=True)
class _Past:
    """What the ledger knows of upstreams, by name."""

    usage: Mapping[object, UsageSum]
    ttft: Mapping[object, TimesSum]
    durations: Mapping[object, TimesSum]
    speeds: Mapping[str, Speeds]


class UpstreamsApi:
    """Four routes."""

    def __init__(self, plane: Plane, books: BooksThread) -> None:
        self._plane = plane
        self._books = books

    def routes(self) -> list[ApiRoute]:
        """Return what is served here."""
        hours = Query(
            "hours",
            "how far the times look back",
            {"type": "integer", "minimum": 1, "maximum": _MOST_HOURS},
        )
        listed = record(hours="integer", upstreams=array(ref("Upstream")))
        probed = record(name="string", ok="boolean", error="string?", took_ms="number")
        set_to, one = record(name="string", drained="boolean"), "/upstreams/{name}"
        what = "Ask an upstream whether it is there, by a page that costs nothing."
        drain = "Let no new attempt begin there; running streams go on."
        return [
            ApiRoute(
                "GET", "/upstreams", self.listed, "Upstreams and how they are.", listed, (hours,)
            ),
            ApiRoute("POST", f"{one}/probe", self.probe, what, probed, body=record()),
            ApiRoute("POST", f"{one}/drain", self.drain, drain, set_to, body=record()),
            ApiRoute("POST", f"{one}/enable", self.enable, "End a drain.", set_to, body=record()),
        ]

    async def listed(self, request: Request) -> Response:
        """Return every upstream of the configuration in use."""
        hours = params.number(request, "hours", _HOURS, _MOST_HOURS)
        try:
            details = await self._plane.upstreams()
            states = (await self._plane.runtime()).upstreams
        except NotNow as error:
            raise Refused(503, str(error)) from None
        past = await self._books.ask(lambda books: _past(books, hours))
        found = [
            _upstream(each, states[each.name], past) for each in details if each.name in states
        ]
        return json_answer(200, {"hours": hours, "upstreams": found})

    async def probe(self, request: Request) -> Response:
        """Ask an upstream now."""
        await read_object(request)
        name: str = request.path_params["name"]
        try:
            found = await self._plane.probe(name)
        except NotNow as error:
            raise Refused(503, str(error)) from None
        if found is None:
            raise Refused(404, "there is no such upstream")
        page = {"ok": found.error is None, "error": found.error, "took_ms": found.took_ms}
        return json_answer(200, {"name": name, **page})

    async def drain(self, request: Request) -> Response:
        """Let no new attempt begin at an upstream."""
        return await self._drain(request, drained=True)

    async def enable(self, request: Request) -> Response:
        """Let attempts begin there again."""
        return await self._drain(request, drained=False)

    async def _drain(self, request: Request, *, drained: bool) -> Response:
        await read_object(request)
        name: str = request.path_params["name"]
        try:
            found = await self._plane.drain(name, drained=drained)
        except NotNow as error:
            raise Refused(503, str(error)) from None
        if not found:
            raise Refused(404, "there is no such upstream")
        return json_answer(200, {"name": name, "drained": drained})


def _past(books: Books, hours: int) -> _Past:
    since = books.now_us() - hours * HOUR_US
    span, reads = Hours.covering(since), books.reads
    return _Past(
        usage={each.group["upstream"]: each for each in reads.usage(span, ["upstream"])},
        ttft=_by_name(reads.times("ttft_ms", span, ["upstream"])),
        durations=_by_name(reads.times("stream_duration_ms", span, ["upstream"])),
        speeds=reads.speeds(since),
    )


def _by_name(found: list[TimesSum]) -> Mapping[object, TimesSum]:
    return {each.group["upstream"]: each for each in found}


def _upstream(detail: UpstreamDetail, state: UpstreamState, past: _Past) -> dict[str, Any]:
    usage = past.usage.get(detail.name, NOTHING)
    contexts = detail.contexts.items()
    return {
        "name": detail.name,
        "kind": detail.kind,
        "base_url": detail.base_url,
        "circuit": state.circuit.value,
        "health": state.health.value,
        "reason": state.reason,
        "usable": detail.usable,
        "admits": detail.admits,
        "drained": detail.drained,
        "last_error": detail.last_error,
        "in_flight": detail.in_flight,
        "drains": detail.drains,
        "most_drains": detail.most_drains,
        "slots": detail.slots,
        "response_ms": detail.response_ms,
        "models": list(detail.models),
        "contexts": [{"model": model, "tokens": tokens} for model, tokens in contexts],
        "exchanges": usage.exchanges,
        "successes": usage.successes,
        "failures": usage.failures,
        "ttft_ms": quantiles(past.ttft.get(detail.name)),
        "stream_duration_ms": quantiles(past.durations.get(detail.name)),
        **speed_quantiles(past.speeds.get(detail.name)),
    }
